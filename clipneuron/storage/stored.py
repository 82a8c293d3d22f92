"""One object that a commit names: read it, or say in words what is wrong with it."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from clipneuron.storage import parquet
from clipneuron.storage.commits import Stored
from clipneuron.storage.errors import StoreError
from clipneuron.storage.objects import Objects


def put(objects: Objects, key: str, name: str, table: pa.Table) -> Stored:
    """The record of a table that was put under this key; built in memory, so it is there whole or not."""
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
    """The rows of a stored table, or the columns and rows of it that were asked for.

    The object's digest is compared when it is read whole; for a part of it, the digest of the footer and
    the checksums of the pages. Raises StoreError when the object is missing, damaged or can't be read,
    ValueError for an unknown column.
    """
    _raise(objects, stored, wrong_size(objects, stored))
    try:
        if columns is None and filters is None:
            return parquet.decode(_intact(objects, stored))
        with objects.filesystem().open_input_file(stored.key) as source:
            found = _sha256(source.read_at(stored.footer, stored.size - stored.footer))
            _raise(objects, stored, _differs(found, stored.footer_sha256))
            return parquet.decode(source, columns, filters)
    except (pa.ArrowException, OSError) as error:
        # Whether the object or something else is at fault is decided by the object's digest.
        _intact(objects, stored)
        kind = StoreError if isinstance(error, OSError) else ValueError
        raise kind(f"can't read table {stored.table!r} as asked: {error}") from error


def wrong_size(objects: Objects, stored: Stored) -> str:
    """What is wrong with the object's presence or length, "" if nothing is."""
    size = objects.size(stored.key)
    if size is None:
        return "is missing"
    return "" if size == stored.size else f"has {size} bytes instead of {stored.size}"


def wrong_bytes(objects: Objects, stored: Stored) -> str:
    """What is wrong with the object, every byte of it considered, "" if nothing is."""
    problem = wrong_size(objects, stored)
    return problem or _differs(_sha256(objects.get(stored.key)), stored.sha256)


def _intact(objects: Objects, stored: Stored) -> bytes:
    data = objects.get(stored.key)
    _raise(objects, stored, _differs(_sha256(data), stored.sha256))
    return data


def _raise(objects: Objects, stored: Stored, problem: str) -> None:
    if problem:
        raise StoreError(
            f"{objects.location(stored.key)} {problem}: delete the marker of its shard under commits/ and "
            "run the same command again; only this shard is computed again"
        )


def _differs(found: str, committed: str) -> str:
    return "" if found == committed else "is damaged: its bytes are not those that were committed"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
