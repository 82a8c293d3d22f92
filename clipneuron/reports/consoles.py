"""rich's console without its markup: what is printed on it comes from data and is seen as it is."""

from typing import IO, Any

from rich import console

from clipneuron.reports.printing import visible


class Console(console.Console):
    """A console that takes strings literally; tables for it are made by `clipneuron.reports.markup.terminal`."""

    def __init__(self, file: IO[str] | None = None, width: int | None = None) -> None:
        super().__init__(file=file, width=width, markup=False, emoji=False, highlight=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints the objects, strings as `visible` shows them."""
        shown = (visible(item) if isinstance(item, str) else item for item in objects)
        super().print(*shown, **options)
