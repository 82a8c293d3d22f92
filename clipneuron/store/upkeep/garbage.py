"""Garbage: objects that no commit names, from attempts that came second or died, and unfinished writes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clipneuron.store import manifests
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.protocol import Entry, Objects


@dataclass(frozen=True)
class Garbage:
    """Something that may be removed, since no reader can see it."""

    key: str
    """Relative to the run."""
    size: int
    """Bytes."""
    age: float
    """Seconds by the store's clock."""
    unfinished: Entry | None = None
    """The listing's entry, for a write that never ended and is not an object yet."""


def find(objects: Objects, stages: Sequence[str], older_than: float) -> list[Garbage]:
    """Everything older than so many seconds, by the store's clock, that no marker needs, sorted by key.

    What belongs to a shard whose marker is damaged is needed, since it is unknown what the marker names. Raises
    StoreError.
    """
    # Listed before the markers are read, so that objects committed in between are found to be named.
    found = [
        *(entry for prefix in ("attempts/", "data/", "probe-") for entry in objects.entries(prefix))
    ]
    unfinished = list(objects.leftovers())
    limit = (present := objects.present()) - older_than
    needed = _Needed.by(objects, stages)
    garbage = [
        *(Garbage(e.key, e.size, present - e.modified) for e in found if e.modified <= limit),
        *(
            Garbage(e.key, e.size, present - e.modified, e)
            for e in unfinished
            if e.modified <= limit
        ),
    ]
    return sorted((item for item in garbage if not needed.has(item)), key=lambda item: item.key)


def remove(objects: Objects, stages: Sequence[str], garbage: Iterable[Garbage]) -> int:
    """How many were removed: all except those that a marker needs by now; raises StoreError.

    An attempt still under way could commit an object between this check and the removal, so everything
    passed here should be older than any attempt can be.
    """
    needed = _Needed.by(objects, stages)
    todo = [item for item in garbage if not needed.has(item)]
    return sum(in_order(lambda item: _remove(objects, item), todo))


@dataclass(frozen=True)
class _Needed:
    """What the markers need: the objects that they name, and the records of attempts at other shards."""

    keys: frozenset[str]
    shards: frozenset[tuple[str, str]]
    unknown: frozenset[tuple[str, str]]
    """Shards whose markers are damaged."""

    @classmethod
    def by(cls, objects: Objects, stages: Sequence[str]) -> "_Needed":
        seen = {stage: manifests.look(objects, stage) for stage in stages}
        found = [commit for each in seen.values() for _, commit in each.commits.values()]
        return cls(
            frozenset(stored.key for commit in found for stored in commit.objects),
            frozenset((commit.stage, commit.shard) for commit in found),
            frozenset((stage, shard) for stage, each in seen.items() for shard in each.damaged),
        )

    def has(self, item: Garbage) -> bool:
        if item.unfinished:
            return False
        if tuple(item.key.split("/")[1:3]) in self.unknown:
            return True
        if item.key.startswith("attempts/"):
            _, stage, shard, _ = item.key.split("/")
            return (stage, shard) not in self.shards
        return item.key in self.keys


def _remove(objects: Objects, item: Garbage) -> int:
    if item.unfinished:
        objects.discard(item.unfinished)
    else:
        objects.delete(item.key)
    return 1
