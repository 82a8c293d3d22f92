"""Collections of Parquet files, whose rows are pictures: their columns, ids and labels."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.collections import Collection, collection
from clipneuron.data.files import Files, Status
from clipneuron.data.labels import Labels, numbered
from clipneuron.data.parquet_rows import RowFile, RowReader, leaf
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.concurrency import in_order


@dataclass(frozen=True)
class Columns:
    """Names that columns may have, of which the first that exists is taken; () leaves the column out."""

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


def open_tables(files: Files, sources: pa.Table, columns: Columns) -> Collection:
    """The collection of the rows of these Parquet files (a listing's page), file after file.

    Raises ValueError for a file that is not Parquet or lacks an image column, and for files whose columns differ;
    StoreError where S3 does not answer.
    """
    first, parts = None, []
    read = partial(_rows, files, columns)
    for source, (found, rows) in zip(
        sources["path"].to_pylist(),
        in_order(read, sources.to_pylist(), files.concurrency),
        strict=True,
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
    """The pictures of one file, and the columns that describe them."""
    source = entry["path"]
    file = RowFile(files, source, Status(entry["size"], entry["etag"], 0))
    place = files.location(source)
    try:
        with file.opened() as opened:
            schema, count = opened.schema_arrow, opened.metadata.num_rows
            found = _found(place, schema, columns)
            wanted = [column for column in (found.id, found.label, found.name) if column]
            table = opened.read(columns=wanted)
    except ConnectionError as error:
        raise StoreError(error.strerror) from error
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{place} is not a readable Parquet file: {error}") from error
    labels, names = _labels(table, found, _declared_names(schema, found.label), count)
    return found, pa.table(
        {
            "image": leaf(table, found.id).cast(pa.string()) if found.id else _nulls(count),
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
    """The rows, with ids such as "name.parquet#row" where the ids in the files are not distinct."""
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
    """The path within the column of pictures, where Hugging Face keeps file names; "" if there is none."""
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


def _declared_names(schema: pa.Schema, label: str) -> Sequence[str]:
    """The names of the classes that Hugging Face keeps in the file's metadata, [] where there are none."""
    try:
        text = (schema.metadata or {})[b"huggingface"]
        return tuple(json.loads(text)["info"]["features"][label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()
