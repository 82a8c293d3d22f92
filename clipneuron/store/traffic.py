"""What this process asks of places that hold pictures and tables: requests, and bytes that came back.

A request is one operation on an object or a file, whether the place is a bucket or a disk; repeats of one that failed
are not told apart from it, and the parts of a large upload count as one. Counted for the process as a whole, since
readers work in threads of their own.
"""

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """Requests and bytes."""

    reads: int = 0
    """Requests that read, looked at or listed something."""
    writes: int = 0
    """Requests that wrote or deleted something."""
    bytes_read: int = 0
    cached: int = 0
    """Pictures that were not decoded, since their pixels were kept."""

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.reads + other.reads,
            self.writes + other.writes,
            self.bytes_read + other.bytes_read,
            self.cached + other.cached,
        )

    def __mul__(self, times: float) -> "Traffic":
        return Traffic(
            round(self.reads * times),
            round(self.writes * times),
            round(self.bytes_read * times),
            round(self.cached * times),
        )

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.reads - other.reads,
            self.writes - other.writes,
            self.bytes_read - other.bytes_read,
            self.cached - other.cached,
        )


NOTHING = Traffic()
_lock = threading.Lock()
_all = NOTHING


def read(size: int = 0, requests: int = 1) -> None:
    """So many requests have brought so many bytes."""
    _count(Traffic(reads=requests, bytes_read=size))


def wrote() -> None:
    """A request has written or deleted something."""
    _count(Traffic(writes=1))


def spared(pictures: int) -> None:
    """So many pictures were found decoded."""
    _count(Traffic(cached=pictures))


def so_far() -> Traffic:
    """Of this process, since it began."""
    return _all


def _count(more: Traffic) -> None:
    global _all
    with _lock:
        _all = _all + more


class Lap:
    """What this process has asked for since the last time that somebody took account of it."""

    def __init__(self) -> None:
        self._since = so_far()

    def take(self, ahead: Traffic = NOTHING) -> Traffic:
        """What was asked for since then, and what is about to be, which is not counted a second time."""
        now = so_far()
        taken, self._since = now - self._since + ahead, now + ahead
        return taken

    def drop(self) -> None:
        """Leave out what was asked for since then."""
        self._since = so_far()
