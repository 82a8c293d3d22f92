"""One picture's class, or a column of them, of whatever type it was written in: a number, a name, or unknown."""

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.columns import Columns, is_bytes, is_text

LARGEST = 2**31 - 1
"""Labels are numbers of 32 bits."""


def stated(number: int | None, text: str | None, name: str | None) -> dict[str, Any]:
    """A picture's class as given: its number (optionally with a name) or its name."""
    return {"number": number, "text": text, "name": name}


def stated_in(record: Mapping[str, Any], where: str, columns: Columns) -> dict[str, Any]:
    """A picture's class as its JSON record gives it; raises ValueError, which names `where` the record is."""
    key = next((key for key in columns.label if key in record), "")
    label = record.get(key)
    names = (record.get(name) for name in columns.name if name in record)
    name = next((name for name in names if isinstance(name, str)), None)
    if isinstance(label, float):
        label = None if math.isnan(label) else int(label) if label.is_integer() else label
    if label is None or isinstance(label, str):
        return stated(None, label, name)
    if isinstance(label, int):
        return stated(checked(int(label), f"{where}, {key!r}", columns), None, name)
    raise ValueError(
        f"{where}: {key!r} is {label!r:.60}, and the class of a picture is one name or one number: name another with "
        f"{columns.field('label_column')}, or none to ignore classes"
    )


def checked(number: int, where: str, columns: Columns) -> int | None:
    """The number of a class; None for a negative one, which stands for no class. Raises ValueError above 32 bits."""
    if number > LARGEST:
        raise ValueError(_too_large(f"{where} is {number}", columns))
    return None if number < 0 else number


def cast(column: pa.ChunkedArray, where: str, columns: Columns) -> tuple[Any, Any]:
    """The numbers (int32) and the names that a column of any type means; `where` names its file and column.

    Raises ValueError for a type that holds no classes, and for a value that is none.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return cast(column.cast(kind.value_type), where, columns)
    count = len(column)
    no_numbers, no_names = pa.nulls(count, pa.int32()), pa.nulls(count, pa.string())
    if pa.types.is_null(kind):
        return no_numbers, no_names
    if is_text(kind) or is_bytes(kind):
        return no_numbers, _texts(column, where, columns)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return _numbers(column, where, columns), no_names
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(_whole(column, where, columns), where, columns), no_names
    raise ValueError(
        f"{where} is {kind}, and classes are numbers or names: name another with {columns.field('label_column')}, or "
        "none to ignore classes"
    )


def _texts(column: pa.ChunkedArray, where: str, columns: Columns) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{where} holds bytes that are no text: name another with {columns.field('label_column')}, or none"
        ) from error


def _whole(column: pa.ChunkedArray, where: str, columns: Columns) -> pa.ChunkedArray:
    """A column of floats or decimals without what is no number, which pandas writes for what is missing."""
    floats = column.cast(pa.float64())
    known = pc.if_else(pc.is_nan(floats), None, floats)
    broken = pc.not_equal(pc.floor(known), known)
    infinite = pc.is_inf(known)
    row = pc.index(pc.or_(broken, infinite), True).as_py()
    if row >= 0:
        raise ValueError(
            f"{where} is {column.type}, and row {row} has {floats[row].as_py()}: the number of a class is whole; name "
            f"another with {columns.field('label_column')}, or none to ignore classes"
        )
    return known


def _numbers(column: pa.ChunkedArray, where: str, columns: Columns) -> pa.ChunkedArray:
    if pa.types.is_boolean(column.type):
        return column.cast(pa.int32())
    if column.type.bit_width > 32 or column.type == pa.uint32():
        # In the column's own type: a large number must not overflow before it is seen.
        above = pc.greater(column, pa.scalar(LARGEST).cast(column.type))
        row = pc.index(above, True).as_py()
        if row >= 0:
            raise ValueError(_too_large(f"{where}: row {row} has {column[row].as_py()}", columns))
    if not pa.types.is_unsigned_integer(column.type):
        # Hugging Face writes -1 for the unknown labels of a test split.
        column = pc.if_else(pc.less(column, 0), None, column)
    return column.cast(pa.int32())


def _too_large(found: str, columns: Columns) -> str:
    return (
        f"{found}, and the number of a class is at most {LARGEST:,}: if these are no classes, name another with "
        f"{columns.field('label_column')}, or none to ignore them"
    )
