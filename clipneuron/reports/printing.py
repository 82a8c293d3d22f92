"""Text of data and models, made fit for a terminal: what would steer it is shown instead of obeyed.

`print` replaces the built-in one wherever clipneuron writes to a terminal, and `clipneuron.reports.consoles.Console`
rich's own; ruff refuses the built-in one, tests/reports/test_terminals.py the rest. It imports nothing slow.
"""

import builtins
import logging
import sys
from typing import TextIO

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}
"""Of the ASCII characters that steer a terminal, those that Unicode has for this purpose."""

_HIDDEN = {
    code: f"<U+{code:04X}>"
    for code in (*range(0x80, 0xA0), 0x061C, *range(0x200B, 0x2010), 0x2028, 0x2029,
                 *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x2070), 0xFEFF)
    if code not in (0x200C, 0x200D)  # joiners belong to the spelling of some scripts and of emoji
}  # fmt: skip
"""What steers a terminal beyond ASCII, turns the direction of writing around or cannot be seen."""

_VISIBLE: dict[int, int | str] = {**_PICTURES, **_HIDDEN}
_IN_A_LINE: dict[int, int | str] = {**_VISIBLE, 9: 0x2409, 10: 0x240A}


def visible(text: str) -> str:
    """The text with a picture or number in place of each character that would steer a terminal; lines stay lines.

    >>> visible("a\\x1b[31mb\\u202ec")
    'a␛[31mb<U+202E>c'
    """
    return text.translate(_VISIBLE)


def one_line(text: str) -> str:
    """The text as `visible` shows it, with line breaks and tabs shown too: a name cannot pretend to be a message."""
    return text.translate(_IN_A_LINE)


def print(*values: object, file: TextIO | None = None, flush: bool = False) -> None:
    """Prints the values as `visible` shows them."""
    shown = (visible(str(value)) for value in values)
    builtins.print(*shown, file=file or sys.stdout, flush=flush)


def pass_on(text: str) -> None:
    """Writes a table as it is, for another program; on a terminal, for a person, as `visible` shows it."""
    sys.stdout.write(visible(text.replace("\r\n", "\n")) if sys.stdout.isatty() else text)


def tolerate_any_text() -> None:
    """Lets both outputs write what their encoding lacks as an escape: a finished run must not end in an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a notebook's streams have none
        if reconfigure:
            reconfigure(errors="backslashreplace")


class VisibleFormatter(logging.Formatter):
    """Messages of a log as `visible` shows them."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        return visible(super().format(record))
