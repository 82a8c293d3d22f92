"""Manifests: one Parquet file per stage that saves its readers a request per marker.

A manifest is derived from the markers, which always take precedence: a listing shows which markers exist, and
the manifest is used only for those that have not been rewritten since. Without a manifest, or with a stale or
damaged one, the markers themselves are read.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.store import markers, parquet
from clipneuron.store.errors import ObjectMissingError
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.records import Commit
from clipneuron.tables import registry as tables

_Stamped = tuple[str, Commit]


def committed(objects: Objects, stage: str) -> dict[str, _Stamped]:
    """Stamp and commit of every marker of a stage, by shard in the order of their names.

    Raises StoreError for a marker that can't be read.
    """
    return _committed(objects, stage, _stamps(objects, stage))


def write(objects: Objects, stage: str) -> bool:
    """True if the stage's manifest was written, False if it already agreed with the markers."""
    stamps = _stamps(objects, stage)
    if stamps == {key: stamp for key, stamp, _ in _recorded(objects, stage)}:
        return False
    objects.put(_key(stage), parquet.encode(table(_committed(objects, stage, stamps).values())))
    return True


def failed_rows(objects: Objects, stage: str) -> dict[str, tuple[str, int]]:
    """Stamp and failed rows of each shard, according to the manifest alone."""
    try:
        rows = parquet.decode(objects.get(_key(stage)), ["shard", "stamp", "failed"])
    except (ObjectMissingError, pa.ArrowException, OSError):
        return {}
    rows = rows.filter(pc.is_valid(rows["stamp"]))
    shards, stamps, failed = (rows[name].to_pylist() for name in ("shard", "stamp", "failed"))
    return dict(zip(shards, zip(stamps, failed, strict=True), strict=True))


def table(stamped: Iterable[_Stamped]) -> pa.Table:
    """The manifest of these commits: a row per object, the first of a commit with its marker."""
    rows = [row for stamp, commit in stamped for row in _rows(stamp, commit)]
    return pa.Table.from_pylist(rows, schema=tables.schema("manifest"))


def _rows(stamp: str, commit: Commit) -> Iterator[dict[str, Any]]:
    common = {
        "shard": commit.shard,
        "failed": len(commit.failures),
        "seconds": commit.seconds,
        "attempt": commit.attempt,
    }
    marker = {"stamp": stamp, "marker": commit.model_dump_json()}
    for stored in commit.objects or (None,):
        yield common | marker | (stored.model_dump() if stored else {})
        marker = {}


def _committed(objects: Objects, stage: str, stamps: dict[str, str]) -> dict[str, _Stamped]:
    with _collector_paused():
        found = {
            key: (stamp, Commit.model_validate_json(marker))
            for key, stamp, marker in (_recorded(objects, stage) if stamps else ())
            if stamps.get(key) == stamp
        }
    others = [key for key in stamps if key not in found]
    for key, commit in zip(others, markers.load_many(objects, Commit, others), strict=True):
        found[key] = (stamps[key], commit)
    return {commit.shard: (stamp, commit) for stamp, commit in sorted(found.values(), key=_shard)}


def _stamps(objects: Objects, stage: str) -> dict[str, str]:
    """The stamp of each marker that exists now, by key."""
    return {entry.key: entry.stamp for entry in objects.entries(markers.folder(stage))}


def _recorded(objects: Objects, stage: str) -> list[tuple[str, str, str]]:
    """Key, stamp and content of the markers that the manifest covers; none where it can't be read."""
    try:
        rows = parquet.decode(objects.get(_key(stage)))  # whole, so that every page is checked
        rows = rows.filter(pc.is_valid(rows["marker"]))
        shards, stamps, contents = (rows[name].to_pylist() for name in ("shard", "stamp", "marker"))
    except (ObjectMissingError, pa.ArrowException, OSError, KeyError):
        return []
    folder = markers.folder(stage)
    keys = (f"{folder}{shard}.json" for shard in shards)
    return list(zip(keys, stamps, contents, strict=True))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without garbage collection: with hundreds of thousands of new objects it would take most of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _shard(stamped: _Stamped) -> str:
    return stamped[1].shard


def _key(stage: str) -> str:
    return f"manifest/{markers.checked_name('stage', stage)}.parquet"
