"""How far a stage is, from listings and its manifest; few markers are read, however many there are."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from clipneuron.store import attempts, manifests, markers, outlines
from clipneuron.store.errors import DamagedError
from clipneuron.store.manifests import Rows
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.outlines import Cut
from clipneuron.store.records import Commit

_MOST_READ = 256
"""Markers that no manifest covers are all read up to this number; of more, a sample."""


@dataclass(frozen=True)
class Progress:
    """The progress of one stage as seen in the store, without reading all of its markers."""

    stage: str
    cut: Cut | None
    """What it consists of, None where no driver has recorded it yet."""
    done: Mapping[str, float]
    """When each committed shard was committed, in seconds since 1970 by the store's clock."""
    begun: tuple[str, ...]
    """Shards with an attempt that began recently and has not ended."""
    failed_attempts: Mapping[str, int]
    """Failed attempts at each shard that is not committed."""
    failed_rows: int
    """Failed rows of the commits that were read."""
    unseen: int
    """Commits that were not read."""
    damaged: tuple[str, ...] = ()
    """What is wrong with the stage's records, and what to do; of those that were read."""
    cached_rows: int = 0
    """Pictures of the commits that were read whose decoded pixels were found in a cache."""


def look(objects: Objects, stage: str, within: float) -> Progress:
    """How far the stage is; attempts count as alive for `within` seconds. Raises StoreError."""
    questions: list[Callable[[], Any]] = [
        partial(_cut, objects, stage),
        partial(_markers, objects, stage),
        partial(attempts.in_flight, objects, stage, within),
        partial(attempts.failed_counts, objects, stage),
        partial(manifests.rows_of, objects, stage),
    ]
    cut, found, begun, failed, known = in_order(lambda ask: ask(), questions, len(questions))
    stamps = {shard: stamp for shard, (stamp, _) in found.items()}
    seen = {shard: rows for shard, (stamp, rows) in known.items() if stamps.get(shard) == stamp}
    read = _read(objects, stage, [shard for shard in found if shard not in seen])
    seen |= {shard: rows for shard, rows in read.items() if isinstance(rows, Rows)}
    broken = (cut, *read.values())
    return Progress(
        stage,
        cut if isinstance(cut, Cut) else None,
        {shard: time for shard, (_, time) in found.items()},
        tuple(begun),
        {shard: count for shard, count in failed.items() if shard not in found},
        sum(rows.failed for rows in seen.values()),
        len(found) - len(seen),
        tuple(str(error) for error in broken if isinstance(error, DamagedError)),
        sum(rows.cached for rows in seen.values()),
    )


def quarantined(objects: Objects) -> Iterator[tuple[str, str]]:
    """Stage and shard of everything that has failed too often to be tried again; raises StoreError."""
    for stage in objects.folders("failures/"):
        seen = look(objects, stage, within=0.0)
        most = seen.cut.attempts if seen.cut else 1
        exhausted = (shard for shard, count in seen.failed_attempts.items() if count >= most)
        yield from ((stage, shard) for shard in sorted(exhausted))


def _cut(objects: Objects, stage: str) -> Cut | DamagedError | None:
    try:
        return outlines.cut(objects, stage)
    except DamagedError as error:
        return error


def _markers(objects: Objects, stage: str) -> dict[str, tuple[str, float]]:
    """Stamp and time of each marker, by shard."""
    start = len(markers.folder(stage))
    return {
        entry.key[start:].removesuffix(".json"): (entry.stamp, entry.modified)
        for entry in objects.entries(markers.folder(stage))
    }


def _read(objects: Objects, stage: str, shards: list[str]) -> dict[str, Rows | DamagedError]:
    """Rows of these shards or, where they are many, of some that are spread over them."""
    some = shards[:: -(-len(shards) // _MOST_READ) or 1]
    shard_of = {markers.key(stage, shard): shard for shard in some}
    return {
        shard_of[key]: read if isinstance(read, DamagedError) else Rows.of(read)
        for key, read in markers.load_listed(objects, Commit, shard_of)
    }
