"""Counts, sizes, times and rates as people read them."""

import re
from collections.abc import Mapping
from math import isfinite

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Units of time, as they are written and read."""

_SINGULARS = ((r"ies$", "y"), (r"(ss|sh|ch|x)es$", r"\1"), (r"s$", ""))


_VERBS = {"are": "is", "have": "has", "were": "was"}


def counted(count: int, things: str, verb: str = "") -> str:
    """A count with its noun and, where there is one, its verb; both are given in the plural.

    >>> counted(1, "pictures", "have"), counted(2, "pictures", "have")
    ('1 picture has', '2 pictures have')
    >>> counted(1, "shards"), counted(2500, "failed pictures"), counted(1, "lists of words"), counted(1, "classes")
    ('1 shard', '2,500 failed pictures', '1 list of words', '1 class')
    """
    if count == 1:
        return " ".join(filter(None, ["1", singular(things), _VERBS.get(verb, verb)]))
    return " ".join(filter(None, [f"{count:,}", things, verb]))


def singular(things: str) -> str:
    """One of the things.

    >>> singular("failed attempts"), singular("entries of a list")
    ('failed attempt', 'entry of a list')
    """
    head, *rest = re.split(r"(?= of | to )", things, maxsplit=1)
    for ending, replacement in _SINGULARS:
        if re.search(ending, head):
            return "".join([re.sub(ending, replacement, head), *rest])
    return things


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by what is counted, without what there is none of; "" where there is nothing.

    >>> in_words({"empty": 3000, "too long": 0, "duplicate": 1})
    '3,000 empty, 1 duplicate'
    """
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def size(count: float) -> str:
    """Bytes, in the unit that suits them.

    >>> size(123), size(4_560_000), size(999_960)
    ('123 B', '4.6 MB', '1.0 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if round(count, 0 if unit == "B" else 1) < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(seconds: float | None) -> str:
    """Seconds in at most two units, "-" for None and for what is no time.

    >>> duration(0.5), duration(75), duration(90_000), duration(float("inf"))
    ('0.5 s', '1 m 15 s', '1 d 1 h', '-')
    """
    if seconds is None or not isfinite(seconds):
        return "-"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    left, parts = round(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, SECONDS[unit])
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts[:2])


SHORTEST = 0.1
"""Seconds below which a rate says more about the clock than about the work."""


def rate(count: float, seconds: float) -> float | None:
    """How many a second, None where too little was done, or in too short a time, to tell.

    >>> rate(50, 10), rate(0, 10), rate(1000, 0.0001)
    (5.0, None, None)
    """
    return count / seconds if count > 0 and seconds >= SHORTEST else None


def per_second(rate: float | None) -> str:
    """A rate with the figures that it has, "-" for None.

    >>> per_second(14.27), per_second(8123.4), per_second(0.034), per_second(None)
    ('14.3/s', '8,123/s', '0.034/s', '-')
    """
    if rate is None or not isfinite(rate):
        return "-"
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s" if rate >= 1 else f"{rate:.2g}/s"
