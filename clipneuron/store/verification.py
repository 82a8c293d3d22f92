"""Every byte that a stage has committed, read again and compared with its markers."""

from collections.abc import Callable, Iterator

from clipneuron.store import markers
from clipneuron.store import stored_tables as stored
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.records import Commit, Stored

_OBJECTS_AT_ONCE = 4
"""Objects are read whole, and may be large."""


def problems(
    objects: Objects, stage: str, advance: Callable[[int], None] | None = None
) -> Iterator[str]:
    """A sentence for each damaged marker or object of a stage, as it is found."""
    for marker in objects.list(markers.folder(stage)):
        found = list(_problems(objects, marker))
        yield from (problem for problem in found if problem)
        if advance:
            advance(len(found))


def _problems(objects: Objects, marker: str) -> Iterator[str]:
    """A sentence for each object that the marker names, "" for an intact one."""
    try:
        commit = markers.load(objects, Commit, marker)
    except StoreError as error:
        yield str(error)
        return

    def problem(entry: Stored) -> str:
        wrong = stored.wrong_bytes(objects, entry)
        return wrong and f"{objects.location(entry.key)} {wrong}; {marker} names it"

    yield from in_order(problem, commit.objects, _OBJECTS_AT_ONCE)
