"""What a prepared pool of texts allows: in how many directions it extends, and which texts are nearly equal."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from clipneuron.lens.options import ALIKE


def rank(texts: Float[Tensor, "text embed"]) -> int:
    """The number of axes along which the pool extends by more than rounding, of at most min(text, embed).

    By more: the root mean square of the texts along the axis is above the square root of the number format's unit of
    rounding, relative to that of the texts themselves. It is the distance at which the pursuit takes a text to lie in
    the span of others.

    >>> rank(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 0.0]]))
    2
    """
    exact = texts.double()
    squares = torch.linalg.eigvalsh(exact.T @ exact)
    least = torch.finfo(texts.dtype).eps * squares.sum()
    return int((squares > least).sum())


class Alike(NamedTuple):
    """The texts that another one is nearly equal to, and the closest two of them."""

    texts: int
    first: int
    """The number of a text, -1 where there is none, as of `second`."""
    second: int
    cosine: float


def alike(texts: Float[Tensor, "text embed"], least: float = ALIKE, *, block: int = 1024) -> Alike:
    """How many texts have one before them with a cosine above `least`, and the two of largest cosine.

    `block` texts are compared with all before them at a time, so that no [text, text] matrix is made.

    >>> alike(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.1]]))[:3]
    (1, 0, 2)
    """
    unit = functional.normalize(texts, dim=1)
    found = Alike(0, -1, -1, math.nan)
    for start in range(0, len(unit), block):
        rows = unit[start : start + block]
        cosines = (rows @ unit[: start + len(rows)].T).tril_(diagonal=start - 1)
        best, other = cosines.max(dim=1)
        near = best > least
        if near.any():
            row = int(best.argmax())
            closest = Alike(found.texts, int(other[row]), start + row, float(best[row]))
            found = closest if not closest.cosine <= found.cosine else found
            found = found._replace(texts=found.texts + int(near.sum()))
    return found
