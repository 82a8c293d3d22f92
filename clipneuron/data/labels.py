"""Classes of pictures: numbers and names as Arrow columns, from folders, from lists or as given with the pictures."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.files import Files, Span
from clipneuron.data.listing import CONTENTS

_BLOCK = 20_000
STATED = pa.schema([("number", pa.int64()), ("text", pa.string()), ("name", pa.string())])
"""A picture's class as given: its number, optionally with a name, or its name."""

_LISTED = pa.schema([("image", pa.string()), *STATED])


class Labels(NamedTuple):
    """Each picture's class, null where unknown."""

    label: pa.ChunkedArray
    """int32"""
    label_name: pa.ChunkedArray
    """string"""
    by_name: bool
    """Whether the numbers were derived from the names, rather than given."""


def unlabelled(count: int) -> Labels:
    """Labels for pictures of unknown classes."""
    return Labels(
        pa.chunked_array([pa.nulls(count, pa.int32())]),
        pa.chunked_array([pa.nulls(count, pa.string())]),
        by_name=True,
    )


def numbered(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each name's position among the sorted distinct names, null for no name.

    >>> numbered(pa.chunked_array([["dog", "cat", None, "dog"]])).to_pylist()
    [1, 0, None, 1]
    """
    distinct = names.cast(pa.string()).unique().drop_null().sort()
    return pc.index_in(names, value_set=distinct).cast(pa.int32())


def stated(number: int | None, text: str | None, name: str | None) -> dict[str, Any]:
    """A picture's class as given: its number (optionally with a name) or its name."""
    return {"number": number, "text": text, "name": name}


def in_blocks(records: Iterator[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.Table]:
    """The records as tables, so that few of them are Python objects at a time."""
    while block := list(islice(records, _BLOCK)):
        yield pa.Table.from_pylist(block, schema=schema)


def stated_in(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A picture's class as its JSON record gives it; raises ValueError, which names `where` the record is."""
    label = record.get("label")
    name = record.get("label_name", record.get("name"))
    name = name if isinstance(name, str) else None
    if label is None or isinstance(label, str):
        return stated(None, label, name)
    if type(label) is int:
        return stated(label, None, name)
    raise ValueError(_mixed(where))


def column_of_labels(table: pa.Table, where: str) -> Labels:
    """The labels of rows that give them (`number`, `text`, `name`); names are numbered in sorted order.

    Raises ValueError where some are numbers and some are names.
    """
    named = table["text"].null_count < table.num_rows
    if named and table["number"].null_count < table.num_rows:
        raise ValueError(_mixed(where))
    if named:
        return Labels(numbered(table["text"]), table["text"], by_name=True)
    names = pc.if_else(pc.is_valid(table["number"]), table["name"], None)
    return Labels(table["number"].cast(pa.int32()), names, by_name=False)


def file_labels(files: Files, has_contents: bool, paths: pa.ChunkedArray) -> tuple[Labels, int]:
    """Each file's label, and how many pictures of contents.jsonl do not exist.

    The list gives the labels if it contains any; otherwise the first folder is the class, if all files are in
    folders. Raises ValueError for an invalid list.
    """
    listed = _contents(files) if has_contents else _LISTED.empty_table()
    missing = pc.sum(pc.invert(pc.is_in(listed["image"], value_set=paths))).as_py() or 0
    if listed["number"].null_count + listed["text"].null_count < 2 * listed.num_rows:
        places = pc.index_in(paths, value_set=listed["image"])
        return column_of_labels(listed.take(places), CONTENTS), missing
    if pc.all(pc.match_substring(paths, "/")).as_py():
        folders = pc.replace_substring_regex(paths, "/.*", "")
        return Labels(numbered(folders), folders, by_name=True), missing
    return unlabelled(len(paths)), missing


def _contents(files: Files) -> pa.Table:
    """The list, a row per picture; of a picture that is listed twice, the last."""
    place = files.location(CONTENTS)
    try:
        lines = files.read(Span(CONTENTS)).split(b"\n")
    except OSError as error:
        raise ValueError(f"can't read {place}: {error}") from error
    listed = pa.concat_tables([_LISTED.empty_table(), *in_blocks(_records(place, lines), _LISTED)])
    backwards = listed.take(pa.array(range(listed.num_rows - 1, -1, -1), pa.int64()))
    first = backwards.append_column("row", pa.array(range(listed.num_rows), pa.int64()))
    rows = first.group_by("image", use_threads=False).aggregate([("row", "min")])["row_min"]
    return backwards.take(rows)


def _records(place: str, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            record = _record(place, number, line)
            yield {"image": record["image"], **stated_in(record, CONTENTS)}


def _record(place: str, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"can't read {place}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{place}, line {number} is not JSON: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("image"), str):
        raise ValueError(
            f'{place}, line {number} has no "image": expected one JSON object per picture'
        )
    return record


def _mixed(where: str) -> str:
    return f"the labels in {where} must be all names (text) or all numbers (integers)"


def label_names(table: pa.Table) -> dict[int, str]:
    """Names of the classes by label, in the order of labels, of a table with `label` and `label_name`.

    Raises ValueError when one label has two names.
    """
    labelled = table.select(["label", "label_name"]).drop_null()
    pairs = labelled.group_by(["label", "label_name"]).aggregate([])
    names: dict[int, str] = {}
    for pair in pairs.sort_by([("label", "ascending"), ("label_name", "ascending")]).to_pylist():
        label, name = pair["label"], pair["label_name"]
        if names.setdefault(label, name) != name:
            raise ValueError(
                f"label {label} is called both {names[label]!r} and {name!r}: give each class one name, or "
                "leave the names out (for Parquet: columns=Columns(name=()))"
            )
    return names
