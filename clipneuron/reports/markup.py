"""Tables and pages of reports, in one place: Markdown and HTML pages from templates, CSV, tables for a terminal.

Cells come from data. Whatever they hold (pipes, brackets, tags, formulas), readers see it as it is.
"""

import csv as writers
import io
import re
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from clipneuron.reports.printing import visible

if TYPE_CHECKING:  # both take a moment to import, which `clipneuron --help` is spared
    from jinja2 import Environment
    from rich.table import Table

_SPECIAL = re.compile(
    r"[\\`*~|<$]"  # escapes, code, emphasis, cells, tags, formulas
    r"|(?<![^\W_])_+|_+(?![^\W_])"  # emphasis, which is none inside a word
    r"|\](?=[(\[:])"  # links
    r"|#+(?=\s|$)"  # headings
    r"|&(?=[#\w]+;)"  # entities
)
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that spreadsheets compute, in ASCII or full width, or that an apostrophe keeps from it already."""


class Markdown(str):
    """Text that is Markdown already: templates leave it as it is."""


def page(template: str, **values: object) -> str:
    """A template of the package (`evidence/report.md.jinja`) with its values, which are escaped as its kind needs."""
    escaping = _environment(html=not template.endswith(".md.jinja"))
    return escaping.get_template(template).render(**values)


def markdown(value: object) -> Markdown:
    """The value as text inside a Markdown paragraph, heading or cell; lines stay lines."""
    if isinstance(value, Markdown):
        return value
    plain = visible(_one_kind_of_breaks(str(value)))
    text = _SPECIAL.sub(lambda found: "".join(f"\\{letter}" for letter in found[0]), plain)
    return Markdown("<br>".join(text.splitlines()))


def code(text: str) -> Markdown:
    """The text as code in a line of Markdown, whatever backquotes it has."""
    text = visible(_one_kind_of_breaks(text))
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return Markdown(f"{fence}{space}{' '.join(text.splitlines())}{space}{fence}")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """A Markdown table."""
    lines = (" | ".join(map(markdown, row)) for row in (headings, *rows))
    first, *others = (f"| {line} |" for line in lines)
    return Markdown("\n".join([first, f"|{' --- |' * len(headings)}", *others]))


def csv(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file. A text that a spreadsheet would take for a formula gets an apostrophe; numbers stay as they are."""
    text = io.StringIO()
    writer = writers.writer(text, lineterminator="\n")
    writer.writerows(map(_field, row) for row in (headings, *rows))
    return text.getvalue().encode()


def terminal(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    sections: Collection[int] = (),
    lines: bool = False,
    caption: str = "",
    spare: Sequence[str] = (),
) -> "Table":
    """A table for a terminal.

    right: headings of columns flush right. sections: rows that a line is drawn above; lines: above every row.
    spare: headings of columns that are left out, the first one first, where the terminal is too narrow for all.
    """
    from rich.text import Text

    from clipneuron.reports.fitting import FittingTable

    def plain(cell: str, style: str = "") -> Text:  # a string is searched for [markup] and :emoji:
        return Text(visible(cell), style)

    found = FittingTable(title=plain(title, "table.title"), title_justify="left", show_lines=lines)
    found.spare = spare
    found.caption = plain(caption, "table.caption") if caption else None
    for heading in headings:
        found.add_column(
            plain(heading), justify="right" if heading in right else "left", overflow="fold"
        )
    for number, row in enumerate(rows):
        if number in sections:
            found.add_section()
        found.add_row(*map(plain, row))
    return found


def _field(value: object) -> object:
    if not isinstance(value, str):
        return value
    return guarded(_one_kind_of_breaks(value))


def guarded(text: str) -> str:
    """The text as a cell of CSV that no spreadsheet takes for a formula.

    >>> guarded("=1+1"), unguarded("'=1+1")
    ("'=1+1", '=1+1')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` made this cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _one_kind_of_breaks(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _seen(value: object) -> object:
    """A value of a page as `visible` shows it; text that is HTML already stays as it is."""
    return visible(value) if type(value) is str else value


@cache
def _environment(html: bool) -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def source(name: str) -> str:
        return files("clipneuron").joinpath(name).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=html,
        finalize=_seen if html else markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"table": table, "code": code}
    return environment
