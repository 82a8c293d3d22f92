"""Pictures as rows of Parquet files: read a row group at a time, never a whole file."""

import errno
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clipneuron.storage.ahead import in_order
from clipneuron.storage.errors import ReadError
from clipneuron.storage.files import Files, Status
from clipneuron.storage.image_labels import Labels, numbered
from clipneuron.storage.pictures import Collection, Picture, collection

_CACHED_GROUPS = 2
_LARGE_GROUP = 256 * 2**20
_BATCH = 16


@dataclass(frozen=True)
class Columns:
    """Names that columns may have, the first that exists is taken; () leaves the column out."""

    image: tuple[str, ...] = ("image", "jpg", "bytes")
    """Encoded pictures: binary, or Hugging Face's struct of bytes and path."""
    id: tuple[str, ...] = ("file", "path", "key")
    label: tuple[str, ...] = ("label",)
    """Numbers of classes, or their names."""
    name: tuple[str, ...] = ("label_name", "name")
    """Names of classes, beside numbers."""


@dataclass(frozen=True)
class _Found:
    """The columns of one file, as Parquet paths; "" where there is none."""

    image: str
    id: str
    label: str
    name: str


@dataclass(frozen=True)
class RowReader:
    """Reads pictures that are rows of Parquet files below a place."""

    files: Files
    column: str

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read; each row group is read once."""
        for source, members in groupby(pictures, key=lambda picture: picture.source):
            yield from self._read_file(source, [int(picture.offset or 0) for picture in members])

    def _read_file(self, source: str, rows: Sequence[int]) -> Iterator[bytes | ReadError]:
        try:
            file = _File(self.files, source, _status(self.files, source))
            starts = _starts(file)
        except (OSError, pa.ArrowException) as error:
            yield from (_trouble(error, source) for _ in rows)
            return
        for group, members in groupby(rows, key=lambda row: bisect_right(starts, row) - 1):
            within = [row - starts[group] for row in members]
            yield from self._read_group(file, group, within)

    def _read_group(
        self, file: "_File", group: int, rows: Sequence[int]
    ) -> Iterator[bytes | ReadError]:
        place = f"{file.source}, row group {group}"
        try:
            values = _values(file, self.column, group, rows)
        except (OSError, pa.ArrowException) as error:
            yield from (_trouble(error, place) for _ in rows)
            return
        for row in rows:
            yield values.get(row) or ReadError("empty", f"{place}, row {row} holds no bytes")


class _File(NamedTuple):
    """One version of a Parquet file, so that nothing stale is served from memory."""

    files: Files
    source: str
    status: Status

    @contextmanager
    def opened(self, **options: Any) -> Iterator[pq.ParquetFile]:
        raw = self.files.open(self.source, self.status.size)
        with raw, pq.ParquetFile(raw, page_checksum_verification=True, **options) as file:
            yield file


def open_tables(files: Files, sources: pa.Table, columns: Columns) -> Collection:
    """The collection of the rows of these Parquet files (a listing's page), file after file.

    Raises ValueError for a file that is no Parquet file or lacks an image column, and for files that disagree.
    """
    first, parts = None, []
    read = partial(_rows, files, columns)
    for source, (found, rows) in zip(
        sources["path"].to_pylist(), in_order(read, sources.to_pylist(), files.lanes), strict=True
    ):
        first = first or (source, found)
        if found != first[1]:
            raise ValueError(
                f"{files.location(source)} has other columns than {first[0]}: put them in separate folders, "
                "or give their columns the same names"
            )
        parts.append(rows)
    listing = pa.concat_tables(parts)
    if not listing.num_rows:
        raise ValueError(
            f"the Parquet files in {files.url} have no rows: a collection needs a picture"
        )
    listing = _unique_ids(listing)
    columns_of_all = {name: listing[name] for name in ("image", "source", "offset", "size", "etag")}
    reader = RowReader(files, found.image)
    return collection(columns_of_all, _numbered_labels(listing), reader, listing["length"])


def _rows(files: Files, columns: Columns, entry: Mapping[str, Any]) -> tuple[_Found, pa.Table]:
    """What is known of the pictures of one file, and by which columns."""
    source = entry["path"]
    file = _File(files, source, Status(entry["size"], entry["etag"], 0))
    place = files.location(source)
    try:
        with file.opened() as opened:
            schema, count = opened.schema_arrow, opened.metadata.num_rows
            found = _found(place, schema, columns)
            wanted = [column for column in (found.id, found.label, found.name) if column]
            table = opened.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{place} is not a readable Parquet file: {error}") from error
    labels, names = _labels(table, found, _declared_names(schema, found.label), count)
    return found, pa.table(
        {
            "image": _leaf(table, found.id).cast(pa.string()) if found.id else _nulls(count),
            "label": labels,
            "label_name": names,
            "source": pa.repeat(pa.scalar(source), count),
            "offset": pa.array(np.arange(count)),
            "size": pa.nulls(count, pa.int64()),
            "etag": pa.repeat(pa.scalar(entry["etag"], pa.string()), count),
            "length": pa.repeat(pa.scalar(entry["size"], pa.int64()), count),
        }
    )


def _labels(table: pa.Table, found: _Found, declared: Sequence[str], count: int) -> tuple[Any, Any]:
    """The rows' labels and the names of their classes; names only, where the labels are names."""
    if not found.label:
        return pa.nulls(count, pa.int32()), _nulls(count)
    labels = table[found.label]
    if _is_string(labels.type):
        return pa.nulls(count, pa.int32()), labels.cast(pa.string())
    # Hugging Face writes -1 for the unknown labels of a test split.
    labels = pc.if_else(pc.less(labels, 0), None, labels).cast(pa.int32())
    if found.name:
        return labels, table[found.name].cast(pa.string())
    names = dict(enumerate(declared))
    return labels, pa.array([names.get(label) for label in labels.to_pylist()], pa.string())


def _unique_ids(listing: pa.Table) -> pa.Table:
    """The rows with ids such as "name.parquet#row" where the ids in the files do not tell them apart."""
    ids = listing["image"]
    if not ids.null_count and pc.count_distinct(ids).as_py() == len(ids):
        return listing
    offsets = listing["offset"].cast(pa.string())
    made = pc.binary_join_element_wise(listing["source"], offsets, "#")
    return listing.set_column(0, "image", made)


def _numbered_labels(listing: pa.Table) -> Labels:
    if listing["label"].null_count < listing.num_rows:
        return Labels(listing["label"], listing["label_name"], by_name=False)
    return Labels(numbered(listing["label_name"]), listing["label_name"], by_name=True)


def _found(place: str, schema: pa.Schema, columns: Columns) -> _Found:
    label = _first(schema, columns.label, lambda t: _is_string(t) or pa.types.is_integer(t))
    return _Found(
        image=_image_column(place, schema, columns),
        id=_first(schema, columns.id, _is_string) or _path_column(schema, columns),
        label=label,
        name=_first(schema, columns.name, _is_string),
    )


def _image_column(place: str, schema: pa.Schema, columns: Columns) -> str:
    flat = _first(schema, columns.image, _is_binary)
    nested = _first(schema, columns.image, lambda kind: _has(kind, "bytes", _is_binary))
    if flat or nested:
        return flat or f"{nested}.bytes"
    there = ", ".join(f"{field.name} ({field.type})" for field in schema)
    raise ValueError(
        f"{place} has no column of pictures: expected {' or '.join(columns.image)} holding encoded pictures "
        f"as binary (or a struct with bytes), found {there}; rename the column or pass "
        "columns=Columns(image=(...,))"
    )


def _path_column(schema: pa.Schema, columns: Columns) -> str:
    """Hugging Face keeps a picture's file name inside the column of pictures."""
    nested = _first(schema, columns.image, lambda kind: _has(kind, "path", _is_string))
    return f"{nested}.path" if nested and columns.id else ""


def _first(schema: pa.Schema, names: Sequence[str], fits: Callable[[pa.DataType], bool]) -> str:
    for name in names:
        if name in schema.names and fits(schema.field(name).type):
            return name
    return ""


def _has(kind: pa.DataType, name: str, fits: Callable[[pa.DataType], bool]) -> bool:
    if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
        return False
    return fits(kind.field(name).type)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _nulls(count: int) -> pa.Array:
    return pa.nulls(count, pa.string())


def _leaf(table: pa.Table, column: str) -> pa.ChunkedArray:
    if column in table.column_names:
        return table[column]
    outer, inner = column.rsplit(".", 1)
    return pc.struct_field(table[outer], inner)


def _declared_names(schema: pa.Schema, label: str) -> Sequence[str]:
    """The names of the classes that Hugging Face keeps in the file's metadata, [] where there are none."""
    try:
        text = (schema.metadata or {})[b"huggingface"]
        return tuple(json.loads(text)["info"]["features"][label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _status(files: Files, source: str) -> Status:
    found = files.status(source)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "the file is gone")
    return found


def _trouble(error: Exception, place: str) -> ReadError:
    reason = f"{place}: {getattr(error, 'strerror', None) or error}"
    if isinstance(error, FileNotFoundError):
        return ReadError("missing", reason)
    return ReadError("unreachable" if isinstance(error, ConnectionError) else "unreadable", reason)


@lru_cache(maxsize=64)
def _starts(file: _File) -> tuple[int, ...]:
    """The first row of each row group."""
    with file.opened() as opened:
        metadata = opened.metadata
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return tuple(accumulate(counts[:-1], initial=0))


def _values(file: _File, column: str, group: int, rows: Sequence[int]) -> dict[int, bytes | None]:
    """The values of these rows of a row group; rows that it does not have are left out."""
    values = _group(file, column, group)
    if values is None:
        return _streamed(file, column, group, set(rows))
    return {row: values[row].as_py() for row in rows if row < len(values)}


@lru_cache(maxsize=_CACHED_GROUPS)
def _group(file: _File, column: str, group: int) -> pa.ChunkedArray | None:
    """A row group, kept for its other rows: shards are read in order and rarely end with a row group.

    None for one that is too large to hold.
    """
    with file.opened() as opened:
        if opened.metadata.row_group(group).total_byte_size > _LARGE_GROUP:
            return None
        return _leaf(opened.read_row_group(group, columns=[column]), column)


def _streamed(file: _File, column: str, group: int, rows: set[int]) -> dict[int, bytes | None]:
    """The values of these rows of a row group that is too large to hold."""
    values: dict[int, bytes | None] = {}
    start = 0
    # pre_buffer would read the whole column of the row group ahead.
    with file.opened(pre_buffer=False, buffer_size=2**20) as opened:
        for batch in opened.iter_batches(_BATCH, row_groups=[group], columns=[column]):
            leaf = _leaf(pa.Table.from_batches([batch]), column)
            here = rows.intersection(range(start, start + len(leaf)))
            values |= {row: leaf[row - start].as_py() for row in here}
            start += len(leaf)
            if len(values) == len(rows):
                break
    return values
