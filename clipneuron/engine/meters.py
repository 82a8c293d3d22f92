"""What a person sees while a stage runs: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from clipneuron.reports.consoles import Console
from clipneuron.reports.quantities import counted, duration, per_second, rate

SECONDS_BETWEEN_LINES = 10.0


class Meter(Protocol):
    """Counts rows of one stage."""

    def advance(self, rows: int) -> None:
        """`rows` more are done."""
        ...


class _Rate(ProgressColumn):
    """Rows per second."""

    def render(self, task: Task) -> Text:
        unit = task.fields.get("unit", "rows")
        return Text(f"{unit} {per_second(task.speed)}" if task.speed else "", style="cyan")


class _Bar:
    def __init__(self, progress: Progress, name: str, total: int, done: int, unit: str) -> None:
        self._progress = progress
        self._task = progress.add_task(f"{name:<14.28}", total=total, completed=done, unit=unit)

    def advance(self, rows: int) -> None:
        self._progress.advance(self._task, rows)


class _Lines:
    def __init__(self, console: Console, name: str, total: int, done: int, unit: str) -> None:
        self._console, self._name, self._total, self._unit = console, name, total, unit
        self._first, self._done = done, done
        self._start = self._printed = time.monotonic()

    def advance(self, rows: int) -> None:
        self._done += rows
        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = now
            self._console.print(self.line(now - self._start), highlight=False)

    def finish(self) -> None:
        seconds = time.monotonic() - self._start
        done = counted(self._done - self._first, self._unit)
        self._console.print(f"{self._name}: {done} in {duration(seconds)}", highlight=False)

    def line(self, seconds: float) -> str:
        speed = rate(self._done - self._first, seconds)
        line = f"{self._name}: {self._done:,}/{counted(self._total, self._unit)}"
        if speed is None:
            return line
        left = max(0, self._total - self._done) / speed
        return f"{line}, {per_second(speed)}, {duration(left)} left"


@contextmanager
def meter(console: Console, name: str, total: int, done: int, unit: str) -> Iterator[Meter]:
    """A meter for one stage that starts at `done` of `total` rows."""
    if not console.is_terminal:
        lines = _Lines(console, name, total, done, unit)
        yield lines
        lines.finish()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bar(progress, name, total, done, unit)


def default_console() -> Console:
    """Progress goes to standard error, so that standard output stays the result."""
    return Console(file=sys.stderr)
