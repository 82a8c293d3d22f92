"""Which directions are most alike."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 16384
"""Directions that others are compared with at a time."""


class Nearest(NamedTuple):
    """The nearest rows of some rows, the nearest first."""

    rows: Int[Tensor, "row place"]
    cosines: Float[Tensor, "row place"]
    """With sign; 0 where a row or its neighbour has no direction."""


def nearest(directions: Float[Tensor, "all embed"], first: int, size: int, count: int) -> Nearest:
    """The `count` rows of largest |cosine| to each of the rows first..first+size-1, themselves left out.

    Directions have unit length, or are zeros. Of equal ones the lower row comes first, up to rounding of products. N E
    multiply-adds per row, for N directions of length E; a block of products is in memory at a time.
    """
    own = directions[first : first + size]
    count = min(count, len(directions) - 1)
    best: Nearest | None = None
    for start in range(0, len(directions), BLOCK):
        products = own @ directions[start : start + BLOCK].mT
        _leave_out_themselves(products, first - start)
        most = products.abs().topk(min(count, products.shape[1]), dim=1)
        found = Nearest(most.indices + start, products.gather(1, most.indices))
        best = found if best is None else _better(best, found, count)
    assert best is not None
    return best


def _leave_out_themselves(products: Float[Tensor, "row other"], offset: int) -> None:
    """Zeros where row i meets column offset + i."""
    for row in range(max(0, -offset), min(len(products), products.shape[1] - offset)):
        products[row, offset + row] = 0


def _better(one: Nearest, other: Nearest, count: int) -> Nearest:
    rows, cosines = torch.cat([one.rows, other.rows], 1), torch.cat([one.cosines, other.cosines], 1)
    order = cosines.abs().argsort(dim=1, descending=True, stable=True)[:, :count]
    return Nearest(rows.gather(1, order), cosines.gather(1, order))
