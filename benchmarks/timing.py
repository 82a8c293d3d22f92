"""Core-seconds of works within one process: of all its threads, without what others do on the machine."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Name = TypeVar("Name")
Result = TypeVar("Result")


def seconds(work: Callable[[], Result]) -> tuple[float, Result]:
    """Those of a call, and what it returns."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def least(works: Mapping[Name, Callable[[], object]], repeats: int) -> dict[Name, float]:
    """Those of each, the least of the repeats; in turn, after one warm-up."""
    found = {name: float("inf") for name in works}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            took, _ = seconds(work)
            if repeat:
                found[name] = min(found[name], took)
    return found
