"""Objects in a directory: each appears under its key complete or not at all, whatever is killed, at whatever moment.

Bytes are first written and synced under `.partial/`, then linked (create) or renamed (put, replace). Leftovers of
killed writers remain under `.partial/`, which listings skip.
"""

import errno
import fcntl
import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pyarrow.fs as pafs

from clipneuron.store import traffic
from clipneuron.store.errors import ObjectMissingError, PlaceError, StoreError
from clipneuron.store.objects import disk_errors
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.keys import parts
from clipneuron.store.objects.protocol import Dated, Entry, Objects

PARTIAL = ".partial"
"""Folder of objects that are being written."""
_LOCK_SECONDS = 10.0
"""How long a replacement waits for another one of the same object, which takes milliseconds."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}


@dataclass(frozen=True)
class LocalObjects:
    """Objects in a directory, which is created with the first write."""

    root: Path
    begun: Path | None = field(default=None, compare=False, repr=False, kw_only=True)
    """A folder that has to be there: no write makes it anew. See `begun`."""

    @property
    def url(self) -> str:
        """The directory."""
        return str(self.root)

    def create(self, key: str, data: bytes) -> bool:
        """True if created, False if there already; raises StoreError."""
        path = self._path(key)
        with _explained("write", path), self._partial(data) as partial:
            _make_folder(path.parent)
            if not _link(partial, path):
                return False
            _sync_directory(path.parent)
        return True

    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces the whole object; raises StoreError."""
        path = self._path(key)
        with _explained("write", path), self._partial(data) as partial:
            _make_folder(path.parent)
            partial.replace(path)
            _sync_directory(path.parent)

    def replace(self, key: str, old: bytes, new: bytes) -> bool:
        """True if the object was `old` and is `new` now, False otherwise; raises StoreError.

        The file itself is locked, and whoever has waited for a file that is not the object any more comes too late:
        no lock outlives its process, and none leaves a file behind.
        """
        path = self._path(key)
        try:
            with _explained("look at", path):
                file = path.open("r+b")
        except ObjectMissingError:
            return False
        with file, _explained("write", path):
            _lock(file, path)
            there = file.read()
            traffic.read(len(there))
            if not _is_at(file, path) or there != old:
                return False
            with self._partial(new) as partial:
                partial.replace(path)
                _sync_directory(path.parent)
        return True

    def dated(self, key: str) -> Dated:
        """The object's bytes and its file's time of change; raises ObjectMissingError, StoreError."""
        path = self._path(key)
        traffic.read()
        with _explained("read", path), path.open("rb") as file:
            data = file.read()
            traffic.read(len(data), requests=0)
            return Dated(data, os.fstat(file.fileno()).st_mtime)

    def get(self, key: str) -> bytes:
        """The object's bytes; raises ObjectMissingError, StoreError."""
        path = self._path(key)
        traffic.read()
        with _explained("read", path):
            data = path.read_bytes()
        traffic.read(len(data), requests=0)
        return data

    def size(self, key: str) -> int | None:
        """The object's length in bytes, None if there is none; raises StoreError."""
        path = self._path(key)
        traffic.read()
        try:
            with _explained("look at", path):
                status = path.stat()
        except ObjectMissingError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def get_many(self, keys: Iterable[str]) -> Iterator[bytes]:
        """The bytes of each object, in the order of the keys; raises as `get`."""
        return in_order(self.get, keys)

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that start with the prefix, sorted; raises StoreError."""
        yield from sorted(key for key, _ in self._files(prefix))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Key, inode-time-size, size and time of each object, sorted by key; raises StoreError."""
        found = (_entry(key, file) for key, file in self._files(prefix))
        yield from sorted(entry for entry in found if entry is not None)

    def leftovers(self) -> Iterator[Entry]:
        """The files that writers, killed or alive, have under `.partial/`."""
        folder = self.root / PARTIAL
        with _explained("list", folder):
            files = list(os.scandir(folder)) if folder.is_dir() else []
        found = (_entry(f"{PARTIAL}/{file.name}", file) for file in files)
        yield from (entry for entry in found if entry is not None)

    def discard(self, leftover: Entry) -> None:
        """Removes a file under `.partial/` if it is there; raises StoreError."""
        path = self.root / PARTIAL / Path(leftover.key).name
        with _explained("delete", path):
            path.unlink(missing_ok=True)

    def present(self) -> float:
        """The time that the file system, possibly another host's, gives to a file written now."""
        with _explained("write", self.root), self._partial(b"") as partial:
            return partial.stat().st_mtime

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders directly under the prefix, sorted; raises StoreError."""
        folder = self.root / prefix
        traffic.read()
        with _explained("list", folder):
            entries = list(os.scandir(folder)) if folder.is_dir() else []
        yield from sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))

    def delete(self, key: str) -> None:
        """Removes the object if it is there; raises StoreError."""
        path = self._path(key)
        traffic.wrote()
        with _explained("delete", path):
            path.unlink(missing_ok=True)

    def under(self, folder: str) -> "LocalObjects":
        """The objects in a sub-directory."""
        return LocalObjects(self._path(folder), begun=self.begun)

    def location(self, key: str) -> str:
        """The object's absolute path."""
        return str(self._path(key))

    def filesystem(self) -> pafs.FileSystem:
        """The directory as an Arrow file system."""
        return pafs.SubTreeFileSystem(str(self.root), pafs.LocalFileSystem())

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*parts(key))

    def _files(self, prefix: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        """Every file whose key starts with the prefix, in no order."""
        folder = prefix.rpartition("/")[0]
        traffic.read()
        with _explained("list", self.root / folder):
            for key, file in _walk(str(self.root / folder), f"{folder}/" if folder else ""):
                if key.startswith(prefix):
                    yield key, file

    @contextmanager
    def _partial(self, data: bytes) -> Iterator[Path]:
        if self.begun and not self.begun.is_dir():
            raise PlaceError(
                f"{self.begun} is not there any more: check whether its disk is still mounted"
            )
        partial = self.root / PARTIAL / uuid.uuid4().hex
        traffic.wrote()
        _make_folder(partial.parent)
        try:
            _write_synced(partial, data)
            yield partial
        finally:
            partial.unlink(missing_ok=True)


def begun(objects: Objects) -> Objects:
    """Objects in a directory that is there already: once it is gone, writes raise PlaceError.

    A run's folder under a mount point would otherwise be made again on the disk below.
    """
    return replace(objects, begun=objects.root) if isinstance(objects, LocalObjects) else objects


def _link(partial: Path, path: Path) -> bool:
    """True if the finished file now also has the name `path`, False if that name was taken."""
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise StoreError(
            f"can't commit {path}: this file system has no hard links ({error.strerror}), and without "
            "them two attempts at a shard could both commit: keep runs on another file system"
        ) from error
    return True


def _lock(file: BinaryIO, path: Path) -> None:
    """Waits until nobody else replaces the file; the lock ends with the file or the process."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreError(
                    f"can't write {path}: another process has been replacing it for {_LOCK_SECONDS:.0f} s; if it "
                    "hangs, end it"
                ) from None
        time.sleep(0.01)


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """Makes a new name survive a power cut, so that no marker can outlive the data it points to."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(folder: str, base: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Files below a folder with their keys; files that vanish meanwhile, or are hidden, are skipped."""
    try:
        found = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry.path, f"{base}{entry.name}/")
        else:
            yield base + entry.name, entry


def _entry(key: str, file: "os.DirEntry[str]") -> Entry | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    stamp = f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
    return Entry(key, stamp, status.st_size, status.st_mtime)


@contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and action != "write":
            raise ObjectMissingError(str(path)) from error
        raise disk_errors.explained(error, action, path) from error
