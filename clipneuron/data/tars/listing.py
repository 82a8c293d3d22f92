"""Collections of tars: their pictures with what the tars say of their classes.

The members of a sample share a key, their path up to the first dot of the file name: `a/000123.jpg` with
`a/000123.cls` (the number of its class) or `a/000123.json` ({"label": ...}).

Listing costs a seek and two small reads per member on a local disk. On S3 it costs a request per MiB of the tar
or per picture, whichever is fewer, with 16 tars at a time: pictures below a MiB are read along, since the next
header lies in the same MiB; larger ones are skipped.
"""

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.collections import Collection, collection
from clipneuron.data.columns import EACH, Columns
from clipneuron.data.files import Files, LocalFiles
from clipneuron.data.folders import FileReader
from clipneuron.data.labels import (
    IGNORED,
    STATED,
    Labels,
    column_of_labels,
    folder_labels,
    in_blocks,
    unlabelled,
)
from clipneuron.data.passed_over.names import SUFFIXES
from clipneuron.data.tars.members import Tar
from clipneuron.data.tars.samples import Samples
from clipneuron.reports.quantities import counted
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.concurrency import in_order

_AHEAD = 2**20
_AHEAD_ON_DISK = 2**12
_SAMPLE = pa.schema(
    [
        ("key", pa.string()),
        ("image", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        *STATED,
    ]
)


class _Listed(NamedTuple):
    """What one tar holds."""

    pictures: pa.Table
    skipped: Counter[str]
    trouble: str
    """Why the first label that cannot be read can't, "" where all can."""


def open_tars(files: Files, sources: pa.Table, columns: Columns) -> Collection:
    """The collection of the pictures in these tars (a listing's page), tar after tar.

    A picture's id is its tar and its name there. A truncated tar keeps what it has; its last picture is a row
    that can't be read. Raises ValueError for tars that are damaged or contain no picture, for duplicate keys and
    for invalid labels.
    """
    entries = sources.to_pylist()
    skipped: Counter[str] = Counter()
    parts: list[pa.Table] = []
    trouble = ""
    for listed in in_order(partial(_listed, files, columns), entries, files.concurrency):
        parts.append(listed.pictures)
        skipped.update(listed.skipped)
        trouble = trouble or listed.trouble
    listing = pa.concat_tables(parts)
    if not listing.num_rows:
        raise ValueError(_nothing(files, skipped, columns))
    return collection(
        {name: listing[name] for name in ("image", "source", "offset", "size", "etag")},
        _labels(listing, columns, trouble),
        FileReader(files),
        listing["size"],
        skipped,
        section=columns.section,
    )


def pictures_in(files: Files, entry: dict[str, Any]) -> int:
    """How many pictures a tar (a row of a listing) holds; raises ValueError and StoreError as `open_tars` does."""
    return int(_listed(files, Columns(label=(), member=EACH), entry).pictures.num_rows)


def _labels(listing: pa.Table, columns: Columns, trouble: str) -> Labels:
    """The labels that members state, or else the folders in the tars."""
    if not columns.label:
        return unlabelled(listing.num_rows, IGNORED)
    if listing["number"].null_count + listing["text"].null_count < 2 * listing.num_rows:
        return column_of_labels(listing, "tars")
    if trouble:
        return unlabelled(listing.num_rows, f"no label can be read: {trouble}")
    labels = folder_labels(listing["inside"], columns)
    return labels._replace(
        why=f"no .cls or .json states a class, and {labels.why}" if labels.why else ""
    )


def _listed(files: Files, columns: Columns, entry: dict[str, Any]) -> _Listed:
    """The pictures of one tar, and what was skipped in it."""
    skipped: Counter[str] = Counter()
    source = entry["path"]
    place = files.location(source)
    with _opened(files, entry) as file:
        samples = Samples(Tar(file, place, entry["size"], skipped), columns)
        rows = in_blocks(samples.rows(), _SAMPLE)
        table = pa.concat_tables([_SAMPLE.empty_table(), *rows])
    pictures, apart = (
        table.filter(table["image"].is_valid()),
        table.filter(table["image"].is_null()),
    )
    _check_names(pictures["image" if columns.member == EACH else "key"], place)
    if apart.num_rows:
        skipped["label without a picture"] += _unused(apart["key"], pictures["key"])
        pictures = _joined(pictures, apart, place)
    count = pictures.num_rows
    skipped["tar without pictures"] += not count
    described = {name: pictures[name] for name in pictures.column_names if name != "key"}
    described["inside"] = pc.replace_substring_regex(pictures["image"], r"^(\./)+|^/+", "")
    described["image"] = pc.binary_join_element_wise(source, pictures["image"], "/")
    described["source"] = pa.repeat(pa.scalar(source), count)
    described["etag"] = pa.repeat(pa.scalar(entry["etag"], pa.string()), count)
    return _Listed(pa.table(described), +skipped, samples.trouble)


@contextmanager
def _opened(files: Files, entry: dict[str, Any]) -> Iterator["io.BufferedReader[io.RawIOBase]"]:
    source = entry["path"]
    ahead = _AHEAD_ON_DISK if isinstance(files, LocalFiles) else _AHEAD
    try:
        with io.BufferedReader(files.open(source, entry["size"]), ahead) as file:
            yield file
    except ConnectionError as error:
        raise StoreError(
            f"can't list the pictures of {files.location(source)}: {error.strerror}"
        ) from error
    except OSError as error:
        raise ValueError(
            f"{files.location(source)} is not a readable tar: {error.strerror or error}"
        ) from error


def _joined(pictures: pa.Table, apart: pa.Table, place: str) -> pa.Table:
    """The pictures with the classes that stand apart from them, under the same key; raises ValueError for two."""
    stated = ("number", "text", "name")
    found = apart.group_by("key").aggregate(
        [*((column, "max") for column in stated), *((column, "min") for column in stated)]
    )
    places = pc.index_in(pictures["key"], value_set=found["key"])
    for column in stated:
        here, most, least = pictures[column], *(found[f"{column}_{end}"] for end in ("max", "min"))
        there = most.take(places)
        differ = pc.or_kleene(pc.not_equal(most, least).take(places), pc.not_equal(here, there))
        row = pc.index(differ, True).as_py()
        if row >= 0:
            raise ValueError(
                f"{place} states two classes for the key {pictures['key'][row].as_py()!r}: make the tar again with one"
            )
        pictures = _with(pictures, column, pc.coalesce(here, there))
    # As for neighbours: beside a number, a name is that number's.
    numbered = pc.is_valid(pictures["number"])
    names = pc.if_else(numbered, pc.coalesce(pictures["text"], pictures["name"]), pictures["name"])
    texts = pc.if_else(numbered, None, pictures["text"])
    return _with(_with(pictures, "name", names), "text", texts)


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _unused(keys: pa.ChunkedArray, used: pa.ChunkedArray) -> int:
    return int(pc.sum(pc.invert(pc.is_in(keys, value_set=used))).as_py() or 0)


def _check_names(names: pa.ChunkedArray, place: str) -> None:
    counts = pc.value_counts(names)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise ValueError(
            f"{place} has {counted(len(twice), 'keys')} in two places (one is {twice[0].as_py()!r}): the pictures of a "
            "tar, or of several joined into one, need keys of their own; make the tar again, or keep them apart"
        )


def _nothing(files: Files, skipped: Counter[str], columns: Columns) -> str:
    counts = ", ".join(f"{count} {why}" for why, count in skipped.items())
    wanted = f".{columns.member}, as {columns.field('member')} says"
    if columns.member in ("", EACH):
        wanted = " ".join(sorted(SUFFIXES))
    return (
        f"there is no picture in the tars of {files.url} (skipped: {counts or 'nothing'}): expected members ending in "
        + wanted
    )
