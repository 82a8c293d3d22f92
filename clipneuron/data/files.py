"""Files below a folder or prefix, alike on a local disk and on S3: listed page by page, read whole or in part."""

import io
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from clipneuron.data.passed_over.names import is_reserved, is_reserved_folder, other_snapshots
from clipneuron.store import traffic
from clipneuron.store.errors import PlaceError
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.local import PARTIAL

PAGE = pa.schema([("path", pa.string()), ("size", pa.int64()), ("etag", pa.string())])
"""A page of a listing: paths relative to the folder, sizes in bytes, and S3's entity tag of the content."""

_PAGE_ROWS = 10_000
_WITNESSES = 8
"""Files that are tried before a place counts as unreadable."""


class Status(NamedTuple):
    """Distinguishes a file from one that replaced it."""

    size: int
    """Bytes."""
    etag: str | None
    modified: int
    """Nanoseconds; 0 where there is an etag instead."""


class Span(NamedTuple):
    """Some bytes of a file; by default all of them."""

    path: str
    start: int = 0
    length: int | None = None


class Files(Protocol):
    """The files below a folder or prefix; small and picklable, without the listing."""

    @property
    def url(self) -> str:
        """The folder or prefix, as shown to users."""
        ...

    @property
    def concurrency(self) -> int:
        """How many files are best read at a time."""
        ...

    def location(self, path: str) -> str:
        """Where a file is, as shown to users."""
        ...

    def pages(self, skipped: Counter[str]) -> Iterator[pa.Table]:
        """All files in pages of the schema PAGE, in any order; `skipped` counts what was left out.

        Hidden files and reserved names are skipped. Raises ValueError or StoreError where listing fails.
        """
        ...

    def status(self, path: str) -> Status | None:
        """What distinguishes this version of the file, None if there is no such file; raises OSError."""
        ...

    def read(self, span: Span) -> bytes:
        """The bytes, fewer where the file ends before; raises OSError."""
        ...

    def open(self, path: str, size: int) -> io.RawIOBase:
        """The file of this size, to seek and read in; raises OSError, then and when it is read."""
        ...

    def look(self) -> None:
        """Raises PlaceError unless the place is there and something of it can be read."""
        ...


def read_many(files: Files, spans: Iterable[Span]) -> Iterator[bytes | OSError]:
    """The bytes of each span in turn, or the error that reading it raised."""
    return in_order(partial(_outcome, files), spans, files.concurrency)


def page(paths: Sequence[str], sizes: Sequence[int], etags: Sequence[str | None]) -> pa.Table:
    """One page of a listing."""
    return pa.table([paths, sizes, etags], schema=PAGE)


@dataclass(frozen=True)
class LocalFiles:
    """The files below a directory."""

    root: Path

    concurrency = 1

    @property
    def url(self) -> str:
        """The directory."""
        return str(self.root)

    def location(self, path: str) -> str:
        """The file's own path."""
        return str(self.root / path)

    def pages(self, skipped: Counter[str]) -> Iterator[pa.Table]:
        """All files that are not hidden, links followed; raises ValueError for a directory that can't be read."""
        paths: list[str] = []
        sizes: list[int] = []
        for path, size in self._walk("", set(), skipped):
            paths.append(path)
            sizes.append(size)
            if len(paths) == _PAGE_ROWS:
                yield page(paths, sizes, [None] * len(paths))
                paths, sizes = [], []
        yield page(paths, sizes, [None] * len(paths))

    def status(self, path: str) -> Status | None:
        """The file's length and time, None if there is no such file; raises OSError."""
        try:
            found = (self.root / path).stat()
        except FileNotFoundError:
            return None
        return Status(found.st_size, None, found.st_mtime_ns) if _is_file(found) else None

    def read(self, span: Span) -> bytes:
        """The bytes; raises OSError."""
        with open(self.root / span.path, "rb", buffering=0) as file:
            file.seek(span.start)
            data = file.read(-1 if span.length is None else span.length)
        traffic.read(len(data))
        return data

    def open(self, path: str, size: int) -> io.RawIOBase:
        """The file; raises OSError."""
        return _Counted(self.root / path)

    def look(self) -> None:
        """Raises PlaceError where the directory is gone, empty, or has nothing that can be read."""
        error: OSError | None = None
        for path in islice(_files_below(self.root), _WITNESSES):
            try:
                with open(path, "rb", buffering=0) as file:
                    file.read(1)
                return
            except OSError as trouble:
                error = trouble
        if error is None:
            raise PlaceError(f"{self.root} is empty now: check whether its disk is still mounted")
        raise PlaceError(f"nothing in {self.root} can be read any more ({error.strerror or error})")

    def _walk(
        self, folder: str, seen: set[str], skipped: Counter[str]
    ) -> Iterator[tuple[str, int]]:
        real = os.path.realpath(self.root / folder)
        if real in seen:
            # A link to a parent folder would otherwise list the same files forever.
            skipped["folder already listed"] += 1
            return
        seen.add(real)
        folders: list[str] = []
        for entry in _entries(self.root / folder):
            if entry.name.startswith("."):
                skipped["hidden"] += entry.name != PARTIAL
            elif (is_reserved_folder if entry.is_dir() else is_reserved)(entry.name):
                skipped["reserved name"] += 1
            elif entry.is_dir():
                folders.append(entry.name)
            elif (size := _size(entry, folder, skipped)) is not None:
                yield f"{folder}{entry.name}", size
        others = other_snapshots(Path(real), folders)
        skipped["other version of a hub's repository"] += len(others)
        for name in sorted({*folders} - {*others}):
            yield from self._walk(f"{folder}{name}/", seen, skipped)


class _Counted(io.FileIO):
    """A file whose bytes are counted as they are read."""

    def readinto(self, buffer: Any) -> int | None:
        size = super().readinto(buffer)
        traffic.read(size or 0)
        return size

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]  # a file on a disk never blocks
        data = super().read(size) or b""
        traffic.read(len(data))
        return data

    def readall(self) -> bytes:
        return self.read()


def _outcome(files: Files, span: Span) -> bytes | OSError:
    try:
        return files.read(span)
    except OSError as error:
        return error


def _files_below(root: Path) -> Iterator[str]:
    """The paths of what is below a directory, found as they are asked for; raises PlaceError where it is gone."""

    def gone(error: OSError) -> None:
        if error.filename == os.fspath(root):
            raise PlaceError(
                f"{root} cannot be looked into any more ({error.strerror}): check whether its disk is still mounted"
            ) from error

    seen: set[str] = set()
    for folder, folders, names in os.walk(root, onerror=gone, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (os.path.join(folder, name) for name in names if not name.startswith("."))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise ValueError(
            f"can't list {error.filename}: {error.strerror}; a collection must be readable as a whole: give "
            "permission, or name a folder that leaves it out"
        ) from error


def _size(entry: os.DirEntry[str], folder: str, skipped: Counter[str]) -> int | None:
    """The size of a file that can be listed; otherwise None, and the reason is counted."""
    try:
        status = entry.stat()
    except OSError:
        skipped["broken link"] += 1
        return None
    if not _is_file(status):
        skipped["not a file"] += 1
    elif not is_text(folder + entry.name):
        skipped["name is not UTF-8"] += 1
    else:
        return status.st_size
    return None


def _is_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)


def is_text(name: str) -> bool:
    """Whether the name can be written as UTF-8; other names can't be stored."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
