"""Classes of pictures: numbers and names as Arrow columns, from folders, from lists or as given with the pictures."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.columns import Columns
from clipneuron.data.files import Files, Span
from clipneuron.data.label_values import stated_in
from clipneuron.data.listing import CONTENTS

_BLOCK = 20_000
_LONGEST_NUMBER = 18
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
IGNORED = "classes are ignored, as asked"
"""Why pictures have no classes, where the column of labels is none."""

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
    why: str = ""
    """Why no picture has a class, where none has and it takes a word."""


def unlabelled(count: int, why: str = "") -> Labels:
    """Labels for pictures of unknown classes."""
    return Labels(
        pa.chunked_array([pa.nulls(count, pa.int32())]),
        pa.chunked_array([pa.nulls(count, pa.string())]),
        by_name=True,
        why=why,
    )


def numbered(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each name's position among the distinct names in their order, null for no name.

    >>> numbered(pa.chunked_array([["dog", "cat", None, "dog"]])).to_pylist()
    [1, 0, None, 1]
    >>> numbered(pa.chunked_array([["10", "9"]])).to_pylist()
    [1, 0]
    """
    distinct = pa.array(ordered(names.unique().drop_null().to_pylist()), pa.string())
    return pc.index_in(names, value_set=distinct).cast(pa.int32())


def ordered(names: Iterable[str]) -> list[str]:
    """The names of classes in the order that they are numbered in: as numbers where all are, as texts otherwise."""
    found = list(names)
    if found and all(map(is_number, found)):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found, key=str.encode)


def is_number(name: str) -> bool:
    """Whether the name of a class is a number, as in folders 0 to 999.

    >>> is_number("007"), is_number("1.5"), is_number("")
    (True, False, False)
    """
    return name.isascii() and name.isdigit() and len(name) <= _LONGEST_NUMBER


def in_blocks(records: Iterator[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.Table]:
    """The records as tables, so that few of them are Python objects at a time."""
    while block := list(islice(records, _BLOCK)):
        yield pa.Table.from_pylist(block, schema=schema)


def column_of_labels(table: pa.Table, where: str) -> Labels:
    """The labels of rows that give them (`number`, `text`, `name`); names are numbered in their order.

    Raises ValueError where some are numbers and some are names; `where` they stand is part of the message.
    """
    numbers, texts = table["number"], table["text"]
    named, counted = (part.null_count < len(part) for part in (texts, numbers))
    if named and counted:
        number, text = (part.drop_null()[0].as_py() for part in (numbers, texts))
        raise ValueError(
            f"the labels in {where} must be all names (text) or all numbers (integers), and they are both: {number} "
            f"and {text!r}"
        )
    if named:
        return Labels(numbered(texts), texts, by_name=True)
    names = pc.if_else(pc.is_valid(numbers), table["name"], None)
    return Labels(numbers.cast(pa.int32()), names, by_name=False)


def file_labels(
    files: Files, has_contents: bool, paths: pa.ChunkedArray, columns: Columns
) -> tuple[Labels, int]:
    """Each file's label, and how many pictures of contents.jsonl do not exist.

    The list gives the labels if it contains any; otherwise the folders do. Raises ValueError for an invalid list.
    """
    listed = _contents(files, columns) if has_contents else _LISTED.empty_table()
    missing = pc.sum(pc.invert(pc.is_in(listed["image"], value_set=paths))).as_py() or 0
    if listed["number"].null_count + listed["text"].null_count < 2 * listed.num_rows:
        places = pc.index_in(paths, value_set=listed["image"])
        return column_of_labels(listed.take(places), CONTENTS), missing
    return folder_labels(paths, columns), missing


def folder_labels(paths: pa.ChunkedArray, columns: Columns) -> Labels:
    """The labels of pictures whose first folder is their class, if most are in folders; of a loose one it is unknown.

    A folder may name its class as a partition does, `label=cat`.
    """
    if not columns.label:
        return unlabelled(len(paths), IGNORED)
    stated_there = partition_values(paths, columns)
    if stated_there.null_count < len(paths):
        return Labels(numbered(stated_there), stated_there, by_name=True)
    if columns.is_asked("label"):
        raise ValueError(
            f"{columns.field('label_column')} names {columns.label[0]!r}, and nothing beside the pictures states it: "
            "expected a key of contents.jsonl or of .json members, or folders such as "
            f"{columns.label[0]}=cat"
        )
    inside = pc.match_substring(paths, "/")
    loose = len(paths) - (pc.sum(inside).as_py() or 0)
    if 2 * loose >= len(paths):
        return unlabelled(len(paths), f"{loose:,} of {len(paths):,} pictures are in no folder")
    folders = pc.if_else(inside, pc.replace_substring_regex(paths, "/.*", ""), None)
    return Labels(numbered(folders), folders, by_name=True)


def partition_values(paths: pa.ChunkedArray, columns: Columns) -> pa.ChunkedArray:
    """What folders such as `label=sea%20urchin` state about the files in them, null where none does."""
    values = pa.chunked_array([pa.nulls(len(paths), pa.string())])
    for name in reversed(columns.label):
        pattern = rf"(?:^|/){re.escape(name)}=(?P<value>[^/]*)/"
        found = pc.struct_field(pc.extract_regex(paths, pattern), "value")
        values = pc.coalesce(found, values)
    texts = {text: unquote(text) for text in values.unique().to_pylist() if text is not None}
    meant = [None if text == _NO_PARTITION else text for text in texts.values()]
    places = pc.index_in(values, value_set=pa.array(texts, pa.string()))
    return pa.chunked_array([pa.array(meant, pa.string()).take(places.combine_chunks())])


def _contents(files: Files, columns: Columns) -> pa.Table:
    """The list, a row per picture; of a picture that is listed twice, the last."""
    place = files.location(CONTENTS)
    try:
        lines = files.read(Span(CONTENTS)).split(b"\n")
    except OSError as error:
        raise ValueError(f"can't read {place}: {error}") from error
    listed = pa.concat_tables(
        [_LISTED.empty_table(), *in_blocks(_records(place, lines, columns), _LISTED)]
    )
    backwards = listed.take(pa.array(range(listed.num_rows - 1, -1, -1), pa.int64()))
    first = backwards.append_column("row", pa.array(range(listed.num_rows), pa.int64()))
    rows = first.group_by("image", use_threads=False).aggregate([("row", "min")])["row_min"]
    return backwards.take(rows)


def _records(place: str, lines: Iterable[bytes], columns: Columns) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            record = _record(place, number, line)
            yield {
                "image": record["image"],
                **stated_in(record, f"{CONTENTS}, line {number}", columns),
            }


def _record(place: str, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"can't read {place}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{place}, line {number} is not JSON: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("image"), str):
        raise ValueError(
            f'{place}, line {number} has no "image": expected one JSON object per picture'
        )
    return record


def label_names(table: pa.Table, section: str = "recipe") -> dict[int, str]:
    """Names of the classes by label, in the order of labels, of a table with `label` and `label_name`.

    Raises ValueError when one label has two names.
    """
    labelled = table.select(["label", "label_name"]).drop_null()
    pairs = labelled.group_by(["label", "label_name"]).aggregate([])
    names: dict[int, str] = {}
    for pair in pairs.sort_by([("label", "ascending"), ("label_name", "ascending")]).to_pylist():
        label, name = pair["label"], pair["label_name"]
        if names.setdefault(label, name) != name:
            where = _examples(table, label, names[label], name)
            raise ValueError(
                f"label {label} is called both {names[label]!r} and {name!r}{where}: give each class one name, or name "
                f"another column with `{section}.name_column`, none to leave the names out"
            )
    return names


def _examples(table: pa.Table, label: int, *names: str) -> str:
    """A picture for each of a label's names, where the table tells pictures."""
    if "image" not in table.column_names:
        return ""
    found = []
    for name in names:
        same = pc.and_(pc.equal(table["label"], label), pc.equal(table["label_name"], name))
        found.append(table["image"][pc.index(same, True).as_py()].as_py())
    return f" ({' and '.join(found)})"
