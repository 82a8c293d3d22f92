"""Which half of the held-out pictures a picture belongs to."""

import hashlib
from typing import Literal

Half = Literal["fit", "score"]

LEAST = 20
"""Usable pictures that each half needs."""


def half_of(image: str) -> Half:
    """By the digest of the picture's id, whatever the order or the size of the collection.

    >>> [half_of(f"{number}.png") for number in range(4)]
    ['score', 'score', 'score', 'fit']
    """
    return "fit" if hashlib.sha256(image.encode()).digest()[0] % 2 else "score"
