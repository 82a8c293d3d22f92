"""Sizes, times and tables as people read them."""

import sys
from typing import TYPE_CHECKING

from clipneuron.cli.values import SECONDS

if TYPE_CHECKING:  # rich takes a moment to import, which --help is spared
    from rich.table import Table


def size(count: float) -> str:
    """Bytes, in the unit that suits them.

    >>> size(123), size(4_560_000)
    ('123 B', '4.6 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(seconds: float | None) -> str:
    """Seconds in at most two units, "-" for None.

    >>> duration(0.5), duration(75), duration(90_000)
    ('0.5 s', '1 m 15 s', '1 d 1 h')
    """
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    left, parts = round(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, SECONDS[unit])
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts[:2])


def show_table(table: "Table") -> None:
    """Prints a table as wide as the terminal, or wide enough for a log."""
    from clipneuron.reports.consoles import Console

    Console(width=None if sys.stdout.isatty() else 160).print(table)
