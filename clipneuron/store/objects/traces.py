"""Folders that were made for a store that came to nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from clipneuron.store.objects.local import PARTIAL, LocalObjects
from clipneuron.store.objects.protocol import Objects


@contextmanager
def no_trace_of_a_failure(objects: Objects) -> Iterator[None]:
    """If the block raises, the folders that it made for a store on a disk go, where nothing is in them."""
    made = []
    if isinstance(objects, LocalObjects):
        places = (objects.root / PARTIAL, objects.root, *objects.root.parents)
        made = [place for place in places if not place.exists()]
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # something is in it, or it was never made
                folder.rmdir()
        raise
