"""Pictures as rows of Parquet files: read a row group at a time, never a whole file."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clipneuron.storage.errors import ReadError
from clipneuron.storage.pictures import Collection, Picture, collection, numbered

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
    """Reads pictures that are rows of Parquet files below a folder."""

    root: Path
    column: str

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read; each row group is read once."""
        for source, members in groupby(pictures, key=lambda picture: picture.source):
            yield from self._read_file(source, [int(picture.offset or 0) for picture in members])

    def _read_file(self, source: str, rows: Sequence[int]) -> Iterator[bytes | ReadError]:
        path = self.root / source
        try:
            stamp = _stamp(path)
            starts = _starts(path, stamp)
        except (OSError, pa.ArrowException) as error:
            status = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            yield from (ReadError(status, f"{source}: {error}") for _ in rows)
            return
        for group, members in groupby(rows, key=lambda row: bisect_right(starts, row) - 1):
            within = [row - starts[group] for row in members]
            yield from self._read_group(path, stamp, group, within)

    def _read_group(
        self, path: Path, stamp: tuple[int, int], group: int, rows: Sequence[int]
    ) -> Iterator[bytes | ReadError]:
        try:
            values = _values(path, stamp, self.column, group, rows)
        except (OSError, pa.ArrowException) as error:
            reason = f"{path.name}, row group {group}: {error}"
            yield from (ReadError("unreadable", reason) for _ in rows)
            return
        for row in rows:
            empty = ReadError("empty", f"{path.name}, row group {group}, row {row} holds no bytes")
            yield values.get(row) or empty


def open_tables(root: Path, sizes: Mapping[str, int], columns: Columns) -> Collection:
    """The collection of the rows of these Parquet files, given relative to a folder with their sizes.

    Raises ValueError for a file that is no Parquet file or lacks an image column, and for files that disagree.
    """
    parts: list[pa.Table] = []
    found = _found(root / next(iter(sizes)), columns)
    for source in sizes:
        if _found(root / source, columns) != found:
            raise ValueError(
                f"{root / source} has other columns than {next(iter(sizes))}: put them in separate folders, "
                "or give their columns the same names"
            )
        parts.append(_rows(root, source, found))
    listing = pa.concat_tables(parts)
    if not listing.num_rows:
        raise ValueError(f"the Parquet files in {root} have no rows: a collection needs a picture")
    columns_of_all = _numbered_labels(_unique_ids(listing))
    return collection(columns_of_all, RowReader(root, found.image), sizes)


def _rows(root: Path, source: str, found: _Found) -> pa.Table:
    wanted = [column for column in (found.id, found.label, found.name) if column]
    with pq.ParquetFile(root / source) as file:
        table = file.read(columns=wanted)
        count = file.metadata.num_rows
        declared = _declared_names(file.schema_arrow, found.label)
    labels, names = _labels(table, found, declared, count)
    return pa.table(
        {
            "image": _leaf(table, found.id).cast(pa.string()) if found.id else _nulls(count),
            "label": labels,
            "label_name": names,
            "source": pa.array([source] * count, pa.string()),
            "offset": pa.array(range(count), pa.int64()),
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


def _numbered_labels(listing: pa.Table) -> dict[str, Any]:
    columns = {name: listing[name] for name in listing.column_names}
    if listing["label"].null_count == listing.num_rows:
        columns["label"] = pa.array(numbered(listing["label_name"].to_pylist()), pa.int32())
    return columns


def _found(path: Path, columns: Columns) -> _Found:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a readable Parquet file: {error}") from error
    label = _first(schema, columns.label, lambda t: _is_string(t) or pa.types.is_integer(t))
    return _Found(
        image=_image_column(path, schema, columns),
        id=_first(schema, columns.id, _is_string) or _path_column(schema, columns),
        label=label,
        name=_first(schema, columns.name, _is_string),
    )


def _image_column(path: Path, schema: pa.Schema, columns: Columns) -> str:
    flat = _first(schema, columns.image, _is_binary)
    nested = _first(schema, columns.image, lambda kind: _has(kind, "bytes", _is_binary))
    if flat or nested:
        return flat or f"{nested}.bytes"
    there = ", ".join(f"{field.name} ({field.type})" for field in schema)
    raise ValueError(
        f"{path} has no column of pictures: expected {' or '.join(columns.image)} holding encoded pictures "
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


def _stamp(path: Path) -> tuple[int, int]:
    """Tells a file from one that replaced it, so that nothing stale is served from memory."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _starts(path: Path, stamp: tuple[int, int]) -> tuple[int, ...]:
    """The first row of each row group."""
    metadata = pq.read_metadata(path)
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return tuple(accumulate(counts[:-1], initial=0))


def _values(
    path: Path, stamp: tuple[int, int], column: str, group: int, rows: Sequence[int]
) -> dict[int, bytes | None]:
    """The values of these rows of a row group; rows that it does not have are left out."""
    with pq.ParquetFile(path) as file:
        large = file.metadata.row_group(group).total_byte_size > _LARGE_GROUP
    if large:
        return _streamed(path, column, group, set(rows))
    values = _group(path, stamp, column, group)
    return {row: values[row].as_py() for row in rows if row < len(values)}


@lru_cache(maxsize=_CACHED_GROUPS)
def _group(path: Path, stamp: tuple[int, int], column: str, group: int) -> pa.ChunkedArray:
    """A row group, kept for its other rows: shards are read in order and rarely end with a row group."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return _leaf(file.read_row_group(group, columns=[column]), column)


def _streamed(path: Path, column: str, group: int, rows: set[int]) -> dict[int, bytes | None]:
    """The values of these rows of a row group that is too large to hold."""
    values: dict[int, bytes | None] = {}
    start = 0
    # pre_buffer would read the whole column of the row group ahead.
    with pq.ParquetFile(
        path, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True
    ) as file:
        for batch in file.iter_batches(_BATCH, row_groups=[group], columns=[column]):
            leaf = _leaf(pa.Table.from_batches([batch]), column)
            here = rows.intersection(range(start, start + len(leaf)))
            values |= {row: leaf[row - start].as_py() for row in here}
            start += len(leaf)
            if len(values) == len(rows):
                break
    return values
