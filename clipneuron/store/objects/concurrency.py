"""Calls made ahead of time: several in flight, their results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

CONCURRENCY = 32
"""Requests in flight at a store: a request spends most of its time waiting for the response."""


def in_order(
    function: Callable[[_Item], _Result], items: Iterable[_Item], concurrency: int = CONCURRENCY
) -> Iterator[_Result]:
    """`map`, with up to `concurrency` calls in flight in threads and as many results waiting.

    An exception of a call is raised in its turn; calls that have not begun by then are dropped.

    >>> list(in_order(str.upper, "abc", concurrency=2))
    ['A', 'B', 'C']
    """
    if concurrency == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="ahead")
    waiting: deque[Future[_Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * concurrency:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
