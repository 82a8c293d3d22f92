"""One object that a commit names: read it, or explain what is wrong with it."""

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from clipneuron.store import parquet, traffic
from clipneuron.store.errors import DamagedError, ObjectMissingError
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.records import Stored


def put(objects: Objects, key: str, name: str, table: pa.Table) -> Stored:
    """The record of a table that was put under this key; encoded in memory, so it is stored whole or not at all."""
    data = parquet.encode(table)
    objects.put(key, data)
    footer = parquet.footer(data)
    return Stored(
        table=name,
        key=key,
        size=len(data),
        sha256=_sha256(data),
        footer=len(footer),
        footer_sha256=_sha256(footer),
        rows=table.num_rows,
    )


def read(
    objects: Objects, stored: Stored, columns: Sequence[str] | None = None, filters: Any = None
) -> pa.Table:
    """The rows of a stored table, or the requested columns and rows.

    When the object is read whole, its digest is compared; when a part is read, the digest of the footer and
    the checksums of the pages are. Raises DamagedError when the object is missing or damaged, StoreError
    when it can't be read, ValueError for an unknown column.
    """
    if columns is None and filters is None:
        return parquet.decode(_intact(objects, stored))
    try:
        with objects.filesystem().open_input_file(stored.key) as source:
            footer = source.read_at(stored.footer, stored.size - stored.footer)
            if _sha256(footer) == stored.footer_sha256:
                counted = pa.PythonFile(_Counted(source), mode="r")
                return parquet.decode(counted, columns, filters)
    except (pa.ArrowException, OSError):
        pass  # below it turns out whether the object, the connection or the request is at fault
    data = _intact(objects, stored)
    try:
        return parquet.decode(data, columns, filters)
    except pa.ArrowException as error:
        raise ValueError(f"can't read table {stored.table!r} as asked: {error}") from error


def _intact(objects: Objects, stored: Stored) -> bytes:
    data, problem = contents(objects, stored)
    if problem:
        raise DamagedError(
            f"{objects.location(stored.key)} {problem}: delete the marker of its shard under commits/ and "
            "run the same command again; only this shard is computed again"
        )
    return data


def schema(objects: Objects, stored: Stored) -> pa.Schema:
    """The columns of a stored table, by its footer alone; raises DamagedError, StoreError."""
    try:
        with objects.filesystem().open_input_file(stored.key) as source:
            return parquet.schema(source)
    except (pa.ArrowException, OSError):
        return parquet.schema(pa.BufferReader(_intact(objects, stored)))


def contents(objects: Objects, stored: Stored) -> tuple[bytes, str]:
    """The object's bytes and what is wrong with them, "" if nothing is; read twice before it is called damaged."""
    data, problem = b"", ""
    for _ in range(2):
        try:
            data = objects.get(stored.key)
        except ObjectMissingError:
            return b"", "is missing"
        if not (problem := _wrong(data, stored)):
            break
    return data, problem


class _Counted(io.RawIOBase):
    """A file of a store whose bytes are counted as they are read."""

    def __init__(self, source: pa.NativeFile) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._source.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._source.seek(offset, whence))

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._source.read(None if size < 0 else size)
        traffic.read(len(data))
        return data


def _wrong(data: bytes, stored: Stored) -> str:
    if len(data) != stored.size:
        return f"has {len(data)} bytes instead of {stored.size}"
    if _sha256(data) != stored.sha256:
        return "is damaged: its bytes are not those that were committed"
    return ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
