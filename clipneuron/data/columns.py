"""Names and types of what holds pictures and their classes: columns of Parquet files, keys of JSON, members of tars."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from clipneuron.config.columns import NONE
from clipneuron.config.suggestions import suggestion

EACH = "each"
"""The member that makes every picture of a tar a sample of its own."""


@dataclass(frozen=True)
class Columns:
    """Names that columns may have, of which the first that exists is taken; () leaves the column out.

    Names of pictures, labels and names of classes are also found in another case, where that leaves no choice.
    """

    image: tuple[str, ...] = ("image", "jpg", "bytes", "img", "png", "webp", "jpeg")
    """Encoded pictures: binary, or Hugging Face's struct of bytes and path."""
    id: tuple[str, ...] = ("file", "path", "key")
    label: tuple[str, ...] = ("label",)
    """Numbers of classes, or their names; () ignores all classes, wherever they are stated."""
    name: tuple[str, ...] = ("label_name", "name")
    """Names of classes, beside numbers."""
    member: str = ""
    """End of the name of a tar's member that is its sample's picture, in lower case; empty for the only one."""
    section: str = "recipe"
    """The section whose fields messages name."""
    asked: frozenset[str] = frozenset()
    """What was named although it may be the usual name."""
    called: tuple[tuple[str, str], ...] = ()
    """Fields that the section calls by another name, each with that name."""

    @classmethod
    def named(cls, section: str, image: str, label: str, name: str, member: str) -> "Columns":
        """The columns that the fields of a section name; empty for the usual ones, 'none' for none."""
        asked = {"image": image, "label": label, "name": name}
        chosen: dict[str, Any] = {
            field: () if text == NONE else (text,) for field, text in asked.items() if text
        }
        member = member.lower().lstrip(".")
        return cls(member=member, section=section, asked=frozenset(chosen), **chosen)

    def is_asked(self, field: str) -> bool:
        """Whether a column (image, label or name) is named by the user, rather than looked for by its usual names."""
        names = getattr(self, field)
        return bool(names) and (field in self.asked or names != getattr(Columns(), field))

    def field(self, name: str) -> str:
        """A field of the configuration as messages name it."""
        return f"`{self.section}.{dict(self.called).get(name, name)}`"


class Found(NamedTuple):
    """The columns of one file, as Parquet paths; "" where there is none."""

    image: str
    id: str
    label: str
    name: str


def find(place: str, schema: pa.Schema, columns: Columns, *, partitioned: bool = False) -> Found:
    """The columns of a file at a `place`; raises ValueError that names file, column and type.

    The classes of a `partitioned` file stand in the name of its folder, unless a column states them.
    """
    image = image_column(place, schema, columns)
    there = _existing(place, schema, columns, "label")
    return Found(
        image=image,
        id=_first(schema, columns.id, is_text)
        or _path_column(schema, image, columns)
        or _first(schema, columns.id, pa.types.is_null),
        label="" if partitioned and not there else _stated(place, schema, columns, "label"),
        name=_stated(place, schema, columns, "name", is_text),
    )


def image_column(place: str, schema: pa.Schema, columns: Columns) -> str:
    """The column of pictures; raises ValueError where there is none, or none of a type that holds pictures."""
    there = _existing(place, schema, columns, "image")
    kinds = {name: schema.field(name).type for name in there}
    flat = [name for name in there if is_bytes(kinds[name])]
    nested = [f"{name}.bytes" for name in there if _has(kinds[name], "bytes", is_bytes)]
    if flat or nested:
        return [*flat, *nested][0]
    if there:
        raise ValueError(_wrong_type(place, there[0], kinds[there[0]], schema, columns))
    raise ValueError(_absent(place, schema, columns, "image"))


def listed(schema: pa.Schema) -> str:
    """The columns of a file with their types, as messages show them."""
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds bytes of any length, also as a dictionary."""
    plain = _plain(kind)
    return any(
        test(plain) for test in (pa.types.is_binary, pa.types.is_large_binary, _is_binary_view)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text, also as a dictionary (a category of pandas)."""
    return _is_plain_text(_plain(kind)) or bool(pa.types.is_string_view(_plain(kind)))


def _is_binary_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary_view(kind))


def _is_plain_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _has(kind: pa.DataType, name: str, fits: Callable[[pa.DataType], bool]) -> bool:
    if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
        return False
    return fits(kind.field(name).type)


def _first(schema: pa.Schema, names: Sequence[str], fits: Callable[[pa.DataType], bool]) -> str:
    for name in names:
        if schema.names.count(name) == 1 and fits(schema.field(name).type):
            return name
    return ""


def _path_column(schema: pa.Schema, image: str, columns: Columns) -> str:
    """The path within the column of pictures, where Hugging Face keeps file names; "" if there is none."""
    nested = image.removesuffix(".bytes")
    if not columns.id or nested not in schema.names:
        return ""
    return f"{nested}.path" if _has(schema.field(nested).type, "path", _is_plain_text) else ""


def _stated(
    place: str,
    schema: pa.Schema,
    columns: Columns,
    field: str,
    fits: Callable[[pa.DataType], bool] = lambda kind: True,
) -> str:
    """The column of labels or of their names, "" where there is none; raises ValueError for one that was asked for."""
    there = _existing(place, schema, columns, field)
    kinds = {name: schema.field(name).type for name in there}
    # Where no row has a value, there is no type: other files of the collection may have both.
    fitting = [
        *(name for name in there if fits(kinds[name])),
        *(name for name in there if pa.types.is_null(kinds[name])),
    ]
    if fitting or not columns.is_asked(field):
        return fitting[0] if fitting else ""
    if there:
        raise ValueError(
            f"{place}: column {there[0]!r} is {kinds[there[0]]}, and names are text: name another with "
            f"{columns.field(f'{field}_column')}, or none"
        )
    raise ValueError(_absent(place, schema, columns, field))


def _existing(place: str, schema: pa.Schema, columns: Columns, field: str) -> list[str]:
    """Those of a field's names that the file has; in another case only where none is there exactly.

    Raises ValueError where a name is that of several columns.
    """
    names = getattr(columns, field)
    exact = [name for name in names if name in schema.names]
    folded = [there for name in names for there in schema.names if there.lower() == name.lower()]
    for name in exact:
        if schema.names.count(name) > 1:
            raise ValueError(
                f"{place} has {schema.names.count(name)} columns called {name!r}, of which none can be told from the "
                f"other: write the file anew with one of them, or name another with {columns.field(f'{field}_column')}"
            )
    if not exact and len({name.lower() for name in folded}) < len(folded):
        raise ValueError(
            f"{place} has the columns {', '.join(map(repr, folded))}, and any may be meant: say which with "
            f"{columns.field(f'{field}_column')}"
        )
    return exact or folded


def _wrong_type(
    place: str, name: str, kind: pa.DataType, schema: pa.Schema, columns: Columns
) -> str:
    several = pa.types.is_list(kind) and (
        is_bytes(kind.value_type) or pa.types.is_struct(kind.value_type)
    )
    advice = (
        "write a row for each picture of the list"
        if several
        else "write the pictures encoded (as PNG or JPEG files are) into a column of type binary"
    )
    return (
        f"{place}: column {name!r} is {kind}, and pictures are read from binary or from a struct with bytes: {advice}, "
        f"or name another column with {columns.field('image_column')}; the file has {listed(schema)}"
    )


def _absent(place: str, schema: pa.Schema, columns: Columns, field: str) -> str:
    names = getattr(columns, field)
    what = {"image": "pictures", "label": "classes", "name": "names of classes"}[field]
    near = suggestion(names[0], schema.names) if len(names) == 1 else ""
    return (
        f"{place} has no column of {what}: expected {' or '.join(names) or 'one'}, found {listed(schema)}; say which "
        f"column it is with {columns.field(f'{field}_column')}{near}"
    )
