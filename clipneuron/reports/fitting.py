"""A table for a terminal that leaves out columns where there is no room for them, rather than cut words to pieces."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

_READABLE = 20
"""Characters that a line of a cell with prose should have."""


class FittingTable(Table):
    """A table whose `spare` columns go, the first one first, until the others can be read."""

    spare: Sequence[str] = ()
    """Headings of columns that can be missed."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table within the options' width."""
        whole, gone = self.columns, []
        for heading in self.spare:
            if self._needed(console, options) <= options.max_width:
                break
            self.columns = [column for column in self.columns if str(column.header) != heading]
            gone.append(heading)
        fits = self._needed(console, options) <= options.max_width
        # Without it, the widest columns give way to each other in the middle of words.
        for column in whole:
            column.min_width = _least(console, options, column) if fits else None
        try:
            yield from super().__rich_console__(console, options)
        finally:
            self.columns = whole
        if gone:
            missing = f"not shown at this width: {', '.join(gone)}"
            yield console.render_str(missing, style="table.caption", markup=False)

    def _needed(self, console: Console, options: ConsoleOptions) -> int:
        """The width in which no word is cut, and prose has lines to read."""
        padding = 3 * len(self.columns) + 1
        return padding + sum(_least(console, options, column) for column in self.columns)


def _least(console: Console, options: ConsoleOptions, column: Column) -> int:
    wide = options.update(max_width=10_000)
    cells = [column.header, *column.cells]
    found = [Measurement.get(console, wide, cell) for cell in cells]
    word, line = max(one.minimum for one in found), max(one.maximum for one in found)
    return max(word, min(line, _READABLE))
