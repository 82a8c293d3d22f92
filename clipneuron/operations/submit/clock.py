"""Time as those see it who wait for jobs, and the pauses between their attempts."""

import time
from collections.abc import Iterator
from typing import Protocol

LONGEST = 30.0
"""Seconds between two attempts at reaching a server."""


class Clock(Protocol):
    """Time that passes."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    def sleep(self, seconds: float) -> None:
        """Returns when they have passed."""
        ...


class WallClock:
    """The time of this machine, which no change of its clock turns back."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Returns when they have passed."""
        time.sleep(seconds)


def pauses(first: float = 1.0, longest: float = LONGEST) -> Iterator[float]:
    """Seconds to wait before each further attempt: twice as many each time, up to the longest.

    >>> from itertools import islice
    >>> list(islice(pauses(), 7))
    [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    """
    while True:
        yield min(first, longest)
        first *= 2
