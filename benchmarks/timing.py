"""Core-seconds of several works within one process."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Name = TypeVar("Name")


def least(works: Mapping[Name, Callable[[], object]], repeats: int) -> dict[Name, float]:
    """Core-seconds of each, of all threads, the least of the repeats; in turn, after one warm-up."""
    found = {name: float("inf") for name in works}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if repeat:
                found[name] = min(found[name], time.process_time() - start)
    return found
