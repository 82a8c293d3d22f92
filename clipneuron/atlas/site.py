"""The files of an atlas, written to a folder or to object storage: only what has changed, in any number of steps.

`atlas.json`, in the site itself, says which files an atlas has put there, with their digests. It is written again every
few thousand files, after them: whoever is stopped writes at most those once more. Files that it does not name are never
touched.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from clipneuron.atlas import addresses
from clipneuron.atlas.inputs import rows_of
from clipneuron.atlas.results import AtlasResults
from clipneuron.store.errors import ObjectMissingError
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.run import Run

RECORD = "atlas.json"
_LEFT = (
    "and its files are left alone: name a folder that does not exist, is empty or holds an atlas"
)
_OFTEN = 5000
"""Files after which the record is written again."""

File = tuple[str, bytes]
"""Its address in the site, and its content."""


class Published(NamedTuple):
    """What became of the files of a site."""

    written: int
    kept: int
    """Those that were there already, the same."""
    removed: int
    size: int
    """Bytes of all files."""


@dataclass
class _Record:
    """What an atlas has put into a site."""

    objects: Objects
    run: str
    files: dict[str, str] = field(default_factory=dict)
    """Digests by address."""

    def save(self) -> None:
        about = {"run": self.run, "files": dict(sorted(self.files.items()))}
        self.objects.put(RECORD, (json.dumps(about, indent=0) + "\n").encode())


def check(objects: Objects) -> None:
    """Raises ValueError for a place that holds other things than an atlas, and StoreError."""
    _record_of(objects)


def publish(
    run: Run, results: AtlasResults, objects: Objects, advance: Callable[[int], None]
) -> Published:
    """Write the files of an atlas that are not there yet, and remove those of an earlier one that it does not have.

    `advance` is called with how many more files are done. Raises ValueError as `check`, and StoreError.
    """
    before = _recorded(objects)
    record, sizes = _Record(objects, run.name, dict(before)), dict[str, int]()
    written = 0
    if not before:
        record.save()
    for some in _batches(_wanted(run, results, before, sizes, advance)):
        for _ in in_order(lambda file: objects.put(file[0], file[1]), some):
            advance(1)
        record.files |= {path: _sha256(data) for path, data in some}
        written += len(some)
        record.save()
    stale = sorted({*record.files} - {*sizes})
    for _ in in_order(objects.delete, stale):
        pass
    record.files = {path: record.files[path] for path in sorted(sizes)}
    if record.files != before:
        record.save()
    return Published(written, len(sizes) - written, len(stale), sum(sizes.values()))


def files_of(run: Run, results: AtlasResults) -> int:
    """How many files a site has; raises StoreError."""
    pages = sum(rows_of(run, stage, "pages") for stage in results.pages)
    return pages + 2 * sum(rows_of(run, stage, "thumbnails") for stage in results.thumbnails)


def _wanted(
    run: Run,
    results: AtlasResults,
    before: Mapping[str, str],
    sizes: dict[str, int],
    advance: Callable[[int], None],
) -> Iterator[File]:
    """The files that are to be written; the sizes of all go into `sizes`."""
    for stage in results.pages:
        for _, rows in run.scan(stage, "pages"):
            yield from _new(_pages(rows), before, sizes, advance)
    for stage in results.thumbnails:
        for _, rows in run.scan(stage, "thumbnails"):
            yield from _new(_tiles(rows), before, sizes, advance)


def _new(
    files: Iterable[File],
    before: Mapping[str, str],
    sizes: dict[str, int],
    advance: Callable[[int], None],
) -> Iterator[File]:
    for path, data in files:
        sizes[path] = len(data)
        if before.get(path) == _sha256(data):
            advance(1)
        else:
            yield path, data


def _pages(rows: pa.Table) -> Iterator[File]:
    for batch in rows.select(["path", "content"]).to_batches(max_chunksize=256):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _tiles(rows: pa.Table) -> Iterator[File]:
    places = {"tile": addresses.tile, "large": addresses.large}
    for name, place in places.items():
        for key, data in zip(rows["key"].to_pylist(), rows[name].to_pylist(), strict=True):
            if data is not None:
                yield place(key), data


def _batches(files: Iterator[File]) -> Iterator[list[File]]:
    some: list[File] = []
    for file in files:
        some.append(file)
        if len(some) == _OFTEN:
            yield some
            some = []
    if some:
        yield some


def _recorded(objects: Objects) -> dict[str, str]:
    """What is recorded and still there, by a listing; raises as `check`."""
    if not (files := _record_of(objects)):
        return {}
    there = {*objects.list("")}
    return {path: digest for path, digest in files.items() if path in there}


def _record_of(objects: Objects) -> dict[str, str]:
    """The files of an atlas with their digests, none of an empty place; ValueError where others' files are there."""
    try:
        data = objects.get(RECORD)
    except ObjectMissingError:
        if there := next(objects.list(""), None):
            raise ValueError(
                f"{objects.url} has {there} and no {RECORD}, so it is no atlas, {_LEFT}"
            ) from None
        return {}
    try:
        files = json.loads(data)["files"]
        if isinstance(files, dict) and all(isinstance(each, str) for each in files.values()):
            return files
    except (ValueError, LookupError, TypeError):
        pass
    raise ValueError(
        f"{RECORD} in {objects.url} is not what an atlas records of its files, {_LEFT}"
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
