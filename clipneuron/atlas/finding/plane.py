"""All neurons of a run in one plane by their directions: a principal component analysis by blocks of neurons."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Blocks = Callable[[], Iterable[NDArray[np.floating]]]
"""Blocks of directions [neuron, embed], the same ones every time it is called."""

_MARGIN = 0.02
_DIGITS = 5
"""Decimals that are kept: what comes after them differs between linear algebra libraries."""


class Plane(NamedTuple):
    """Two orthogonal axes through the space of directions."""

    mean: Floats
    """Of all directions [embed]."""
    axes: Floats
    """[axis, embed], the one of largest variance first; the largest entry of each is positive."""
    explained: tuple[float, float]
    """Share of the variance of the directions along each."""


class Places(NamedTuple):
    """Where neurons are in the plane."""

    x: Floats
    y: Floats
    """Both from 0 to 1, in one scale; the mean direction is at (0.5, 0.5), the farthest neuron at the margin."""
    explained: tuple[float, float]


def places(blocks: Blocks) -> Places:
    """The places of all neurons, block after block; memory for one block and embed x embed numbers besides.

    Directions of zeros, or with what is no number (dead neurons), have no part in the axes and lie where zeros do.
    Raises ValueError where there is no direction.
    """
    plane = fitted(blocks)
    points = np.concatenate([(_clean(block) - plane.mean) @ plane.axes.T for block in blocks()])
    extent = np.abs(points).max() or 1.0
    x, y = (0.5 + points / extent * (0.5 - _MARGIN)).round(_DIGITS).T
    return Places(x, y, plane.explained)


def fitted(blocks: Blocks) -> Plane:
    """The plane in which directions differ most, from sums over the blocks in their order."""
    count, total, squares = 0, np.zeros(0), np.zeros((0, 0))
    for block in blocks():
        known = _clean(block)
        known = known[known.any(1)]
        count += len(known)
        total = known.sum(0) + (total if total.size else 0)
        squares = known.T @ known + (squares if squares.size else 0)
    if not count:
        raise ValueError("there is no neuron with a direction: a plane needs at least one")
    mean = total / count
    variances, vectors = np.linalg.eigh(squares / count - np.outer(mean, mean))
    axes = _two(vectors.T[::-1])
    shares = np.clip(_two(variances[::-1, None])[:, 0], 0, None) / (
        np.clip(variances, 0, None).sum() or 1.0
    )
    return Plane(mean, axes * _signs(axes), (float(shares[0]), float(shares[1])))


def _clean(block: NDArray[np.floating]) -> Floats:
    rows = np.asarray(block, dtype=np.float64)
    return np.where(np.isfinite(rows).all(1, keepdims=True), rows, 0.0)


def _two(rows: Floats) -> Floats:
    """The first two rows; zeros for a second one where the space has one dimension."""
    return np.concatenate([rows[:2], np.zeros((max(0, 2 - len(rows)), rows.shape[1]))])


def _signs(axes: Floats) -> Floats:
    """1 or -1 for each axis [axis, 1]: the solver's own sign is arbitrary."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    return np.where(largest < 0, -1.0, 1.0)
