"""Objects under keys: the few operations that a run needs of the place that keeps it.

The protocol asks for no more than S3 offers: whole objects, never changed in place, and a create that
refuses to replace. On a local disk an object appears under its key complete or not at all, whatever is
killed and whenever: its bytes are written and synced under `.partial/` first, then linked (create) or
renamed (put). Leftovers of killed writers stay under `.partial/`, where no listing looks.
"""

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import pyarrow.fs as pafs

from clipneuron.storage.errors import ObjectMissingError, StoreError

_PARTIAL = ".partial"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}


class Objects(Protocol):
    """What a run needs of the place that keeps it; keys are relative paths such as "run/run.json"."""

    @property
    def url(self) -> str:
        """Where the objects are, for people."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """True if the object was created, False if one existed already, which then stays untouched."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Writes the whole object or nothing; replaces one that exists."""
        ...

    def get(self, key: str) -> bytes:
        """The object's bytes; raises ObjectMissingError."""
        ...

    def size(self, key: str) -> int | None:
        """The object's length in bytes, None if there is no such object."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that start with the prefix, in sorted order."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """The names one level below a prefix that ends with "/" (or is empty), in sorted order."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; one that does not exist is no error."""
        ...

    def under(self, folder: str) -> "Objects":
        """The objects below a folder, with keys relative to it."""
        ...

    def location(self, key: str) -> str:
        """The object's address for other programs (DuckDB, pandas, a person)."""
        ...

    def filesystem(self) -> pafs.FileSystem:
        """The same objects as an Arrow file system on which keys are paths, to read parts of objects."""
        ...


@dataclass(frozen=True)
class LocalObjects:
    """Objects in a directory, which is made with the first write."""

    root: Path

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

    def get(self, key: str) -> bytes:
        """The object's bytes; raises ObjectMissingError, StoreError."""
        path = self._path(key)
        with _explained("read", path):
            return path.read_bytes()

    def size(self, key: str) -> int | None:
        """The object's length in bytes, None if there is none; raises StoreError."""
        path = self._path(key)
        try:
            with _explained("look at", path):
                status = path.stat()
        except ObjectMissingError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that start with the prefix, sorted; raises StoreError."""
        folder = self.root / prefix.rpartition("/")[0]
        with _explained("list", folder):
            keys = [key for key in self._walk(folder) if key.startswith(prefix)]
        yield from sorted(keys)

    def folders(self, prefix: str) -> Iterator[str]:
        """The names of the folders directly under the prefix, sorted; raises StoreError."""
        folder = self.root / prefix
        with _explained("list", folder):
            entries = list(os.scandir(folder)) if folder.is_dir() else []
        yield from sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))

    def delete(self, key: str) -> None:
        """Removes the object if it is there; raises StoreError."""
        path = self._path(key)
        with _explained("delete", path):
            path.unlink(missing_ok=True)

    def under(self, folder: str) -> "LocalObjects":
        """The objects in a sub-directory."""
        return LocalObjects(self._path(folder))

    def location(self, key: str) -> str:
        """The object's absolute path."""
        return str(self._path(key))

    def filesystem(self) -> pafs.FileSystem:
        """The directory as an Arrow file system."""
        return pafs.SubTreeFileSystem(str(self.root), pafs.LocalFileSystem())

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(not part or part.startswith(".") for part in parts):
            raise ValueError(f"a key is a relative path without empty or hidden parts, not {key!r}")
        return self.root.joinpath(*parts)

    def _walk(self, folder: Path) -> Iterator[str]:
        for directory, folders, files in os.walk(folder, onerror=_unless_gone):
            folders[:] = [name for name in folders if not name.startswith(".")]
            base = Path(directory).relative_to(self.root)
            yield from ((base / name).as_posix() for name in files if not name.startswith("."))

    @contextmanager
    def _partial(self, data: bytes) -> Iterator[Path]:
        partial = self.root / _PARTIAL / uuid.uuid4().hex
        _make_folder(partial.parent)
        try:
            _write_synced(partial, data)
            yield partial
        finally:
            partial.unlink(missing_ok=True)


def open_objects(url: str | os.PathLike[str]) -> Objects:
    """The objects at a path or a file:// URL; raises ValueError."""
    path = local_path(url)
    if path.exists() and not path.is_dir():
        raise ValueError(
            f"{path} is a file; a store is a directory: name one (it need not exist yet)"
        )
    return LocalObjects(path)


def local_path(url: str | os.PathLike[str]) -> Path:
    """The absolute path that a path or a file:// URL names; raises ValueError for another scheme."""
    text = os.fspath(url)
    if not text:
        raise ValueError("an empty path was given: name a path or a file:// URL")
    parts = urlsplit(text)
    if "://" not in text:
        return Path(text).expanduser().absolute()
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise ValueError(f"{text}: {parts.scheme}:// is not in this version: name a local path")
    return Path(unquote(parts.path)).absolute()


def probe(objects: Objects) -> None:
    """Checks that create-only writes are honoured, the one promise that commits stand on.

    Raises StoreError: on a store that replaces silently, two attempts at a shard would both believe
    that they had committed it.
    """
    key = f"probe-{uuid.uuid4().hex}"
    try:
        first, second = objects.create(key, b"first"), objects.create(key, b"second")
        if (first, second, objects.get(key)) != (True, False, b"first"):
            raise StoreError(
                f"{objects.url} does not honour create-only writes (a second write of the same object "
                "was accepted), so a shard could be committed twice: keep runs somewhere else"
            )
    finally:
        objects.delete(key)


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


def _unless_gone(error: OSError) -> None:
    """Directories may vanish while they are listed; anything else is an error."""
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _explained(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and action != "write":
            raise ObjectMissingError(str(path)) from error
        raise StoreError(
            f"can't {action} {path}: {error.strerror}{_advice(error.errno)}"
        ) from error


def _advice(number: int | None) -> str:
    if number in _DISK_FULL:
        return ". Nothing was left half-written: free some space and run the same command again"
    if number in _NO_PERMISSION:
        return ": check who owns it and whether the disk is mounted read-only"
    return ""
