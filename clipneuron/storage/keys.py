"""Keys: the relative paths that objects are named by, and many of them asked for at once."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_THREADS = 32
_BATCHES = 8


def parts(key: str) -> list[str]:
    """The parts of a key between its slashes; raises ValueError for one that would leave the store or hide."""
    found = key.split("/")
    if any(not part or part.startswith(".") for part in found):
        raise ValueError(f"a key is a relative path without empty or hidden parts, not {key!r}")
    return found


def in_order(
    function: Callable[[_Item], _Answer], items: Iterable[_Item], threads: int = _THREADS
) -> Iterator[_Answer]:
    """What the function says of each item, in their order, asked from several threads at once.

    No more than a batch of answers is held; the first error is raised in its place.
    """
    left = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="objects") as pool:
        while batch := list(islice(left, _BATCHES * threads)):
            yield from pool.map(function, batch)
