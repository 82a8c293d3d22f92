"""Manifests: one Parquet file per stage that saves its readers a request per marker.

A manifest is derived from the markers, which always take precedence: a listing shows which markers exist, and
the manifest is used only for those that have not been rewritten since. Without a manifest, or with a stale or
damaged one, the markers themselves are read.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from clipneuron.store import markers, parquet
from clipneuron.store.errors import DamagedError, ObjectMissingError
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.records import Commit
from clipneuron.tables import registry as tables

_Stamped = tuple[str, Commit]


class Rows(NamedTuple):
    """What became of the rows of a commit."""

    failed: int
    cached: int
    """Pictures whose decoded pixels were found in a cache."""

    @classmethod
    def of(cls, commit: Commit) -> "Rows":
        """Those of a marker."""
        return cls(len(commit.failures), (commit.usage and commit.usage.cached) or 0)


class Seen(NamedTuple):
    """What a stage's markers say, as far as they can be read."""

    commits: dict[str, _Stamped]
    """Stamp and commit, by shard in the order of their names."""
    damaged: dict[str, DamagedError]
    """What is wrong with each of the others, by shard."""


def look(objects: Objects, stage: str) -> Seen:
    """Every marker of a stage; raises StoreError."""
    return _look(objects, stage, _stamps(objects, stage))


def committed(objects: Objects, stage: str) -> dict[str, _Stamped]:
    """Stamp and commit of every marker of a stage, by shard in the order of their names.

    Raises DamagedError for a marker that can't be read, StoreError.
    """
    return _whole(look(objects, stage))


def write(objects: Objects, stage: str) -> bool:
    """True if the stage's manifest was written, False if it already agreed with the markers."""
    stamps = _stamps(objects, stage)
    if stamps == {marker: stamp for marker, stamp, _ in _recorded(objects, stage)}:
        return False
    objects.put(_key(stage), parquet.encode(table(_whole(_look(objects, stage, stamps)).values())))
    return True


def problem(objects: Objects, stage: str, commits: Iterable[Commit]) -> str:
    """What is wrong with the stage's manifest, where it has one, beside the commits that its markers hold; or ""."""
    repair = "delete it: it is made again from the markers"
    if objects.size(_key(stage)) is None:
        return ""
    recorded, stamps = _parsed(objects, stage), _stamps(objects, stage)
    if not recorded and not _is_empty(objects, stage):
        return f"{objects.location(_key(stage))} is no manifest: {repair}"
    known = {markers.key(stage, commit.shard): commit for commit in commits}
    wrong = [
        commit.shard
        for marker, stamp, commit in recorded
        if stamps.get(marker) == stamp and known.get(marker, commit) != commit
    ]
    if not wrong:
        return ""
    said = f"says something else of {', '.join(wrong[:3])} than the markers"
    return f"{objects.location(_key(stage))} {said}: {repair}"


def rows_of(objects: Objects, stage: str) -> dict[str, tuple[str, Rows]]:
    """Stamp and rows of each shard, according to the manifest alone."""
    try:
        found = parquet.decode(objects.get(_key(stage)), ["shard", "stamp", "failed", "marker"])
        found = found.filter(pc.is_valid(found["stamp"]))
        names = "shard", "stamp", "failed"
        shards, stamps, failed = (found[name].to_pylist() for name in names)
        # A quotation mark within a text of JSON has a backslash before it, so this is no text's.
        cached = pc.extract_regex(found["marker"], r'"cached":(?P<number>\d+)').to_pylist()
    except (ObjectMissingError, pa.ArrowException, OSError, ValueError, KeyError):
        return {}
    numbers = (int(match["number"]) if match else 0 for match in cached)
    rows = zip(stamps, map(Rows, failed, numbers), strict=True)
    return dict(zip(shards, rows, strict=True))


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


def _whole(seen: Seen) -> dict[str, _Stamped]:
    for error in seen.damaged.values():
        raise error
    return seen.commits


def _look(objects: Objects, stage: str, stamps: dict[str, str]) -> Seen:
    found = {
        marker: (stamp, commit)
        for marker, stamp, commit in (_parsed(objects, stage) if stamps else ())
        if stamps.get(marker) == stamp
    }
    damaged = {}
    others = [marker for marker in stamps if marker not in found]
    for marker, read in markers.load_listed(objects, Commit, others):
        if isinstance(read, DamagedError):
            damaged[_shard_of(stage, marker)] = read
        else:
            found[marker] = (stamps[marker], read)
    commits = {
        commit.shard: (stamp, commit) for stamp, commit in sorted(found.values(), key=_shard)
    }
    return Seen(commits, damaged)


def _parsed(objects: Objects, stage: str) -> list[tuple[str, str, Commit]]:
    """As `_recorded`, with the commits in place of their texts; none where one of them is no commit."""
    with _collector_paused():
        try:
            return [
                (marker, stamp, Commit.model_validate_json(content))
                for marker, stamp, content in _recorded(objects, stage)
            ]
        except ValidationError:
            return []


def _stamps(objects: Objects, stage: str) -> dict[str, str]:
    """The stamp of each marker that exists now, by key."""
    return {entry.key: entry.stamp for entry in objects.entries(markers.folder(stage))}


def _is_empty(objects: Objects, stage: str) -> bool:
    """Whether the manifest says that nothing is committed: one may have been written from a listing that lagged."""
    rows = _rows_of(objects, stage)
    return rows is not None and not len(rows)


def _recorded(objects: Objects, stage: str) -> list[tuple[str, str, str]]:
    """Key, stamp and content of the markers that the manifest covers; none where it can't be read."""
    rows = _rows_of(objects, stage)
    if rows is None:
        return []
    shards, stamps, contents = (rows[name].to_pylist() for name in ("shard", "stamp", "marker"))
    folder = markers.folder(stage)
    keys = (f"{folder}{shard}.json" for shard in shards)
    return list(zip(keys, stamps, contents, strict=True))


def _rows_of(objects: Objects, stage: str) -> pa.Table | None:
    """The rows of the manifest that hold a marker; None where it can't be read."""
    try:
        return _with_markers(objects.get(_key(stage)))
    except (ObjectMissingError, pa.ArrowException, OSError, ValueError, KeyError):
        return None


def _with_markers(manifest: bytes) -> pa.Table:
    rows = parquet.decode(manifest)  # whole, so that every page is checked
    return rows.filter(pc.is_valid(rows["marker"])).select(["shard", "stamp", "marker"])


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


def _shard_of(stage: str, marker: str) -> str:
    return marker.removeprefix(markers.folder(stage)).removesuffix(".json")


def _shard(stamped: _Stamped) -> str:
    return stamped[1].shard


def _key(stage: str) -> str:
    """The key of a stage's manifest; raises ValueError."""
    return f"manifest/{markers.checked_name('stage', stage)}.parquet"
