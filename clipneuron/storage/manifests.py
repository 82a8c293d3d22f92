"""Manifests: one Parquet file that spares the readers of a stage a request per marker.

A manifest is derived from the markers and never believed against them: a listing tells which markers there
are, and a manifest is asked only about those that have not been written again since. Without it, or with a
stale or damaged one, the markers themselves are read.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from clipneuron.storage import markers, parquet, tables
from clipneuron.storage.commits import Commit
from clipneuron.storage.errors import ObjectMissingError
from clipneuron.storage.objects import Objects

_Stamped = tuple[str, Commit]


def committed(objects: Objects, stage: str) -> dict[str, _Stamped]:
    """Stamp and commit of every marker of a stage, by shard in the order of their names.

    Raises StoreError for a marker that can't be read.
    """
    stamps = {entry.key: entry.stamp for entry in objects.entries(markers.folder(stage))}
    known = _known(objects, stage) if stamps else {}
    found = {name: known[name] for name, stamp in stamps.items() if _stamp(known, name) == stamp}
    others = [name for name in stamps if name not in found]
    for name, commit in zip(others, markers.load_many(objects, Commit, others), strict=True):
        found[name] = (stamps[name], commit)
    return {commit.shard: (stamp, commit) for stamp, commit in sorted(found.values(), key=_shard)}


def write(objects: Objects, stage: str) -> bool:
    """True if the stage's manifest was written, False if the one there is says just what the markers say."""
    found = committed(objects, stage)
    known = {commit.shard: stamp for stamp, commit in _known(objects, stage).values()}
    if known == {shard: stamp for shard, (stamp, _) in found.items()}:
        return False
    objects.put(_key(stage), parquet.encode(table(found.values())))
    return True


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


def _known(objects: Objects, stage: str) -> dict[str, _Stamped]:
    """Stamp and commit by marker, as the manifest has them; nothing where it can't be read."""
    try:
        data = objects.get(_key(stage))
        rows = parquet.decode(data, ["shard", "stamp", "marker"])
        rows = rows.filter(pc.is_valid(rows["marker"]))
        columns = (rows[name].to_pylist() for name in ("shard", "stamp", "marker"))
        return {
            markers.key(stage, shard): (stamp, Commit.model_validate_json(marker))
            for shard, stamp, marker in zip(*columns, strict=True)
        }
    except (ObjectMissingError, pa.ArrowException, OSError, ValidationError, KeyError):
        return {}


def _stamp(known: dict[str, _Stamped], name: str) -> str | None:
    return known[name][0] if name in known else None


def _shard(stamped: _Stamped) -> str:
    return stamped[1].shard


def _key(stage: str) -> str:
    return f"manifest/{markers.checked_name('stage', stage)}.parquet"
