"""Removal of a whole run, in an order in which breaking off leaves a run that is not complete, and no lie."""

import os
from collections.abc import Iterable
from contextlib import suppress

from clipneuron.store import leases, markers, records
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.objects.protocol import Objects


def remove_run(objects: Objects) -> int:
    """How many objects were removed: all that the run had; raises StoreError.

    Markers go first, so that nothing is ever committed whose objects are gone, and the record of the run near the end,
    so that a removal which broke off is found and finished. The lease of whoever removes it goes last.
    """
    last = (records.RUN, leases.KEY)
    commits = _delete(objects, objects.list(markers.FOLDER))
    others = _delete(objects, [key for key in objects.list("") if key not in last])
    for leftover in objects.leftovers():
        objects.discard(leftover)
    ends = sum(_delete(objects, [key]) for key in last if objects.size(key) is not None)
    if isinstance(objects, LocalObjects):
        _remove_folders(objects)
    return commits + others + ends


def _delete(objects: Objects, keys: Iterable[str]) -> int:
    return sum(1 for _ in in_order(objects.delete, list(keys)))


def _remove_folders(objects: LocalObjects) -> None:
    """The empty folders, which would look like a run without a record; what was written meanwhile stays."""
    for folder, _, _ in os.walk(objects.root, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)
