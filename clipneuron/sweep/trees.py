"""The shape of the tree in which summaries are merged; counted without any of them."""

from collections.abc import Iterator
from math import ceil

FAN_IN = 16
"""Summaries of a block of neurons that one task merges."""


def groups(shards: int) -> Iterator[int]:
    """Summaries of a block that each level of the tree leaves.

    >>> list(groups(626)), list(groups(16))
    ([40, 3], [])
    """
    while shards > FAN_IN:
        shards = ceil(shards / FAN_IN)
        yield shards
