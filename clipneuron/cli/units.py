"""Tables as people read them."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich takes a moment to import, which --help is spared
    from rich.table import Table

LOG_WIDTH = 160
"""Columns of text where no terminal says how many it has."""


def show_table(table: "Table") -> None:
    """Prints a table as wide as the terminal or as COLUMNS says, or wide enough for a log."""
    from clipneuron.reports.consoles import Console

    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    Console(width=None if known else LOG_WIDTH).print(table)
