"""Our own runs among pictures: what a run has written is no part of a collection, wherever it lies."""

import json
import os
import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.files import Files, Span
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.opening import local_path
from clipneuron.store.records import RUN

_FIELDS = {"name", "fingerprint", "identity"}
"""What tells a run's record from another program's file of that name."""
_RUN = re.compile(r"-[0-9a-f]{16}/run\.json$")
_RENDERED = ("pictures/demo-",)
"""Where a store keeps the pictures of the demo world."""


def our_folders(files: Files, records: Iterable[str], store: str) -> list[str]:
    """What the paths of a listing begin with below a store: its address, and every run that has its record.

    Raises ValueError where the listed place is itself a run.
    """
    runs = [path.removesuffix(RUN) for path in records if _is_record(files, path)]
    if "" in runs:
        raise ValueError(
            f"{files.url} is a run of clipneuron, not a collection: point at pictures (those of an attack are in its "
            "reports, and in the table `pictures`)"
        )
    stores = {run.rstrip("/").rpartition("/")[0] for run in runs}
    inside = _inside(store, files.url) if store else None
    if inside == "":
        stores.add("")
    rendered = [f"{folder}/{name}".lstrip("/") for folder in stores for name in _RENDERED]
    return [*runs, *rendered, *([f"{inside}/"] if inside else [])]


def are_below(paths: pa.ChunkedArray, folders: Iterable[str]) -> pa.ChunkedArray:
    """Which of the paths begin with one of these."""
    below = pa.chunked_array([pa.repeat(False, len(paths))])
    for folder in folders:
        below = pc.or_(below, pc.starts_with(paths, folder))
    return below


def _is_record(files: Files, path: str) -> bool:
    if _RUN.search(path):
        return True  # also where the record itself is damaged
    try:
        record = json.loads(files.read(Span(path)))
    except (FileNotFoundError, ValueError):
        return False
    except OSError as error:
        raise StoreError(f"can't read {files.location(path)}: {error.strerror}") from error
    return isinstance(record, dict) and record.keys() >= _FIELDS


def _inside(store: str, place: str) -> str | None:
    """The path from a place to a store in it, "" for the same, None for one elsewhere."""
    if store.startswith("s3://") or place.startswith("s3://"):
        store, place = (f"{url.rstrip('/')}/" for url in (store, place))
        return store[len(place) :].rstrip("/") if store.startswith(place) else None
    real, root = (os.path.realpath(local_path(url)) for url in (store, place))
    if os.path.commonpath([real, root]) != root:
        return None
    return "" if real == root else os.path.relpath(real, root)
