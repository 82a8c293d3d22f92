"""Why rows failed, in brief: the commonest causes with how often and an example each."""

import re
from collections.abc import Iterable, Sequence
from textwrap import shorten
from typing import NamedTuple

from clipneuron.store.records import Failure

_NUMBER = re.compile(r"\d+")
_DETAILS = re.compile(r"\(.*\)", re.DOTALL)
_SHOWN = 3
_LONGEST = 200
"""Characters of an example."""


class Cause(NamedTuple):
    """Failures that are alike but for names and numbers."""

    status: str
    times: int
    example: Failure

    def __str__(self) -> str:
        image, reason = self.example.image, self.example.reason
        said = reason if image in reason else f"{image}: {reason}"
        such = "such as " if self.times > 1 else ""
        return f"{self.times:,} {self.status} ({such}{shorten(said, _LONGEST, placeholder=' ...')})"


def causes(failures: Iterable[Failure]) -> list[Cause]:
    """The causes, the commonest first; each with its first failure as the example."""
    found: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        found.setdefault((failure.status, _kind(failure)), []).append(failure)
    alike = [Cause(status, len(some), some[0]) for (status, _), some in found.items()]
    return sorted(alike, key=lambda cause: -cause.times)


def summary(found: Sequence[Cause]) -> str:
    """The first three causes in one line, and how many failures have others.

    >>> summary(causes([Failure("a.png", "empty", "a.png: the file is empty")]))
    '1 empty (a.png: the file is empty)'
    """
    rest = sum(cause.times for cause in found[_SHOWN:])
    others = [f"{rest:,} for other reasons"] if rest else []
    return "; ".join([*map(str, found[:_SHOWN]), *others])


def _kind(failure: Failure) -> str:
    """The reason without what differs from picture to picture: names, numbers, details in parentheses."""
    reason = failure.reason
    for name in filter(None, (failure.image, failure.image.rpartition("/")[2])):
        reason = reason.replace(name, "")
    return _NUMBER.sub("#", _DETAILS.sub("", reason))
