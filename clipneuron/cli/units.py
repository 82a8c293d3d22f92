"""Tables as people read them."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich takes a moment to import, which --help is spared
    from rich.table import Table

    from clipneuron.reports.consoles import Console

LOG_WIDTH = 160
"""Columns of text where no terminal says how many it has."""


def show_table(table: "Table") -> None:
    """Prints a table as wide as the terminal or as COLUMNS says, or wide enough for a log."""
    from clipneuron.reports.consoles import Console

    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    Console(width=None if known else LOG_WIDTH).print(table)


def progress_of(chosen: argparse.Namespace) -> "Console":
    """The console for progress: standard error, so that standard output stays the result.

    It is silent where standard error is a log for programs.
    """
    from clipneuron.reports.consoles import Console

    console = Console(file=sys.stderr)
    console.quiet = chosen.log_format == "json"
    return console
