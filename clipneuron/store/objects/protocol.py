"""Objects under keys: the few operations that a run needs of its storage.

The protocol asks for no more than S3 offers: whole objects, never changed in place, a create that refuses to
replace, and a replacement that refuses what has changed. `local.py` keeps them on a disk, `s3.py` in a bucket.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import pyarrow.fs as pafs


class Entry(NamedTuple):
    """An object as a listing shows it."""

    key: str
    stamp: str
    """Changes whenever the object is written again; of an unfinished write, its name."""
    size: int
    """Bytes."""
    modified: float
    """When it was written, in seconds since 1970 by the store's clock."""


class Dated(NamedTuple):
    """An object and when it was written, read at once."""

    data: bytes
    modified: float
    """In seconds since 1970 by the store's clock."""


class Objects(Protocol):
    """What a run needs of its storage; keys are relative paths such as "run/run.json"."""

    @property
    def url(self) -> str:
        """Where the objects are, as shown to users."""
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

    def replace(self, key: str, old: bytes, new: bytes) -> bool:
        """True if the object was `old` and is `new` now, False if it was anything else, which then stays untouched.

        No two versions of an object that is replaced may have the same bytes.
        """
        ...

    def dated(self, key: str) -> Dated:
        """The object's bytes and when these were written; raises ObjectMissingError."""
        ...

    def size(self, key: str) -> int | None:
        """The object's length in bytes, None if there is no such object."""
        ...

    def get_many(self, keys: Iterable[str]) -> Iterator[bytes]:
        """The bytes of each object, in the order of the keys, fetched several at a time; raises as `get`."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that start with the prefix, in sorted order."""
        ...

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The listing's entry for each object whose key starts with the prefix, sorted by key."""
        ...

    def leftovers(self) -> Iterator[Entry]:
        """Writes that began and never ended; they are not readable under any key."""
        ...

    def discard(self, leftover: Entry) -> None:
        """Frees the space of an unfinished write; it is no error if it is gone."""
        ...

    def present(self) -> float:
        """The store's own time in seconds since 1970, as `Entry.modified` counts it."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """The names one level below a prefix that ends with "/" (or is empty), in sorted order."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; it is no error if there is none."""
        ...

    def under(self, folder: str) -> "Objects":
        """The objects below a folder, with keys relative to it."""
        ...

    def location(self, key: str) -> str:
        """The object's address for other programs (DuckDB, pandas) and for users."""
        ...

    def filesystem(self) -> pafs.FileSystem:
        """The same objects as an Arrow file system on which keys are paths, to read parts of objects."""
        ...
