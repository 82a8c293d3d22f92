"""Collections of Parquet files, whose rows are pictures: their ids and labels."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clipneuron.data.collections import Collection, collection
from clipneuron.data.columns import Columns, Found, find, image_column
from clipneuron.data.files import Files, Status
from clipneuron.data.label_values import cast
from clipneuron.data.labels import IGNORED, column_of_labels, partition_values
from clipneuron.data.parquet.rows import RowFile, RowReader, check_whole, leaf
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.concurrency import in_order


def open_tables(files: Files, sources: pa.Table, columns: Columns) -> Collection:
    """The collection of the rows of these Parquet files (a listing's page), file after file.

    Raises ValueError for a file that is not Parquet or lacks an image column, for labels that are none and for files
    whose columns differ; StoreError where S3 does not answer.
    """
    first, parts = None, []
    read = partial(_rows, files, columns)
    for source, part in zip(
        sources["path"].to_pylist(),
        in_order(read, sources.to_pylist(), files.concurrency),
        strict=True,
    ):
        if part is None:
            continue
        found, choice, rows = part
        first = first or (source, found, choice)
        if found != first[1]:
            raise ValueError(
                f"{files.location(source)} has other columns than {first[0]} ({_shown(found)}; there "
                f"{_shown(first[1])}): "
                "put them in separate folders, or give their columns the same names"
            )
        parts.append(rows)
    if not parts:
        raise ValueError(
            f"the Parquet files in {files.url} have no rows: a collection needs a picture"
        )
    listing = _unique_ids(pa.concat_tables(parts))
    columns_of_all = {name: listing[name] for name in ("image", "source", "offset", "size", "etag")}
    labels = column_of_labels(listing, "Parquet files")._replace(
        why=_why_unlabelled(found, columns)
    )
    return collection(
        columns_of_all,
        labels,
        RowReader(files, found.image),
        listing["length"],
        choice=first[2] if first else "",
        section=columns.section,
    )


def pictures_in(files: Files, entry: Mapping[str, Any]) -> int:
    """How many rows of a Parquet file (a row of a listing) hold pictures, none without a usual column of them.

    Raises ValueError and StoreError as `open_tables` does.
    """
    with _opened(files, entry) as opened:
        return int(opened.metadata.num_rows) if _usual(opened.schema_arrow) else 0


def _rows(
    files: Files, columns: Columns, entry: Mapping[str, Any]
) -> tuple[Found, str, pa.Table] | None:
    """The columns of one file, that of pictures again where it is not the usual one, and what describes the pictures.

    Others than the usual pictures of the same rows are another collection. None for a file without rows, whose columns
    may have no types.
    """
    source = entry["path"]
    place = files.location(source)
    partition = partition_values(pa.chunked_array([[source]], pa.string()), columns)[0]
    with _opened(files, entry) as opened:
        schema, count = opened.schema_arrow, opened.metadata.num_rows
        if not count:
            return None
        found = find(place, schema, columns, partitioned=partition.is_valid)
        table = opened.read(columns=list(filter(None, (found.id, found.label, found.name))))
    labels = _labels(table, found, columns, f"{place}: column {found.label!r}", count)
    if not found.label:
        labels["text"] = pa.repeat(partition, count)
    names = _declared_names(schema, found.label)
    if labels["name"] is None:
        labels["name"] = _declared(labels["number"], names)
    choice = found.image if columns.is_asked("image") and found.image != _usual(schema) else ""
    return (
        found,
        choice,
        pa.table(
            {
                "image": leaf(table, found.id).cast(pa.string()) if found.id else _nulls(count),
                **labels,
                "source": pa.repeat(pa.scalar(source), count),
                "offset": pa.array(np.arange(count)),
                "size": pa.nulls(count, pa.int64()),
                "etag": pa.repeat(pa.scalar(entry["etag"], pa.string()), count),
                "length": pa.repeat(pa.scalar(entry["size"], pa.int64()), count),
            }
        ),
    )


@contextmanager
def _opened(files: Files, entry: Mapping[str, Any]) -> Iterator[pq.ParquetFile]:
    """A file of a listing; raises ValueError for what is not one Parquet file, StoreError for trouble of S3."""
    place = files.location(entry["path"])
    file = RowFile(files, entry["path"], Status(entry["size"], entry["etag"], 0))
    try:
        with file.opened() as opened:
            check_whole(file, opened.metadata)
            yield opened
    except ConnectionError as error:
        raise StoreError(error.strerror) from error
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{place} is not a readable Parquet file: {error}") from error


def _labels(
    table: pa.Table, found: Found, columns: Columns, where: str, count: int
) -> dict[str, Any]:
    """The rows' labels: `number` or `text`, and the `name` of a number as a column has it, None without one."""
    if not found.label:
        return {"number": pa.nulls(count, pa.int32()), "text": _nulls(count), "name": _nulls(count)}
    numbers, texts = cast(table[found.label], where, columns)
    names = cast(table[found.name], where, columns)[1] if found.name else None
    return {"number": numbers, "text": texts, "name": names}


def _declared(numbers: Any, declared: Sequence[str]) -> Any:
    """The names of the classes by their numbers, as the file's metadata has them."""
    if not declared:
        return _nulls(len(numbers))
    known = pc.if_else(pc.less(numbers, len(declared)), numbers, None)
    return pc.take(pa.array(declared, pa.string()), known)


def _unique_ids(listing: pa.Table) -> pa.Table:
    """The rows, with ids such as "name.parquet#row" where the ids in the files are not distinct."""
    ids = listing["image"]
    if not ids.null_count and pc.count_distinct(ids).as_py() == len(ids):
        return listing
    offsets = listing["offset"].cast(pa.string())
    made = pc.binary_join_element_wise(listing["source"], offsets, "#")
    return listing.set_column(0, "image", made)


def _usual(schema: pa.Schema) -> str:
    """The column of pictures that is taken where none is named, "" if there is none."""
    try:
        return image_column("", schema, Columns())
    except ValueError:
        return ""


def _why_unlabelled(found: Found, columns: Columns) -> str:
    if not columns.label:
        return IGNORED
    if found.label:
        return f"the column {found.label!r} of the Parquet files states no class in any row"
    return f"the Parquet files have no column {' or '.join(map(repr, columns.label))}"


def _shown(found: Found) -> str:
    return ", ".join(f"{field}: {name or 'none'}" for field, name in found._asdict().items())


def _nulls(count: int) -> pa.Array:
    return pa.nulls(count, pa.string())


def _declared_names(schema: pa.Schema, label: str) -> Sequence[str]:
    """The names of the classes that Hugging Face keeps in the file's metadata, [] where there are none."""
    try:
        text = (schema.metadata or {})[b"huggingface"]
        return tuple(json.loads(text)["info"]["features"][label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()
