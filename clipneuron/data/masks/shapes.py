"""Outlines and run lengths as pixels, as COCO's annotations have them (https://cocodataset.org/#format-data).

pycocotools is not used: on outlines that are no numbers it takes all memory until the process is killed, and run
lengths of another size than the picture's give pixels of whatever memory holds (2.0.11). A bad annotation must be a row
with a reason. Outlines differ from its own by less than a pixel along their edge.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

_COMPRESSED = re.compile(r"(?:[P-o]*[0-O])*")
"""Numbers of one digit or more: characters from 48 on hold 6 bits, of which the highest says that another follows."""

Size = tuple[int, int]
"""Height and width."""


def pixels_of(segmentation: Any, size: Size) -> Bool[np.ndarray, "height width"]:
    """The pixels of a COCO segmentation: a list of outlines, or run lengths, compressed or not; raises ValueError."""
    if isinstance(segmentation, list):
        parts = [outlined(outline, size) for outline in segmentation]
        return np.logical_or.reduce(parts) if parts else np.zeros(size, np.bool_)
    if isinstance(segmentation, Mapping) and {"size", "counts"} <= segmentation.keys():
        if list(segmentation["size"]) != list(size):
            raise ValueError(
                f"run lengths of the size {segmentation['size']} where {list(size)} is the picture's"
            )
        counts = segmentation["counts"]
        return from_runs(uncompressed(counts) if isinstance(counts, str) else counts, size)
    raise ValueError(
        f"a segmentation {segmentation!r:.60}: expected a list of outlines, or run lengths with size and counts"
    )


def outlined(outline: Sequence[float], size: Size) -> Bool[np.ndarray, "height width"]:
    """The pixels whose middles lie within a closed outline [x1, y1, x2, y2 ...], by the even-odd rule.

    Coordinates are from the picture's upper left corner, where the first pixel's middle is (0.5, 0.5). Raises
    ValueError for an outline of fewer than three points, or of what are no numbers.

    >>> outlined([1, 0, 3, 0, 3, 2, 1, 2], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    try:
        points = np.asarray(outline, np.float64)
    except (TypeError, ValueError):
        points = np.full(1, math.nan)
    if points.ndim != 1 or points.size < 6 or points.size % 2 or not np.isfinite(points).all():
        raise ValueError(
            f"an outline {outline!r:.60}: expected x and y, finite numbers, of three points or more"
        )
    height, width = size
    x, y = points.reshape(-1, 2).T
    to_x, to_y = np.roll(x, -1), np.roll(y, -1)
    middles = np.arange(height)[:, None] + 0.5
    crosses = (y <= middles) != (to_y <= middles)
    rows, edges = np.nonzero(crosses)
    share = (middles[rows, 0] - y[edges]) / (to_y - y)[edges]
    at = x[edges] + share * (to_x - x)[edges]
    # Every crossing turns what is to its right from outside to inside, or back.
    columns = np.ceil(at - 0.5).clip(0, width).astype(np.int64)
    turned = np.bincount(rows * (width + 1) + columns, minlength=height * (width + 1))
    odd = turned.astype(np.uint8).reshape(height, width + 1).cumsum(1, dtype=np.uint8) & 1
    return odd[:, :width].astype(np.bool_)


def from_runs(counts: Sequence[int], size: Size) -> Bool[np.ndarray, "height width"]:
    """The pixels of runs, outside and inside in turn, column by column; raises ValueError unless they fill the size.

    >>> from_runs([1, 2, 1], (2, 2)).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    height, width = size
    runs = _whole(counts)
    if runs.min(initial=0) < 0 or runs.sum() != height * width:
        raise ValueError(
            f"run lengths of {int(runs.sum()):,} pixels where the picture has {height * width:,}: expected lengths "
            "from 0 on that add up to them"
        )
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def uncompressed(text: str) -> list[int]:
    """The run lengths that COCO writes as text: 5 bits a character, the lowest first, and from the fourth on as the
    difference from the length before the last; raises ValueError.

    >>> uncompressed("131")
    [1, 3, 1]
    """
    if not _COMPRESSED.fullmatch(text):
        raise ValueError(f"run lengths {text!r:.60}, which are cut off or hold other characters")
    runs: list[int] = []
    for digits in re.findall(r"[P-o]*[0-O]", text):
        codes = [ord(digit) - 48 for digit in digits]
        number = sum((code & 31) << (5 * place) for place, code in enumerate(codes))
        if codes[-1] & 16:
            number -= 1 << (5 * len(codes))
        runs.append(number + runs[-2] if len(runs) > 2 else number)
    return runs


def _whole(counts: Any) -> Int64[np.ndarray, "run"]:
    try:
        runs: NDArray[Any] = np.asarray(counts)
    except ValueError:
        runs = np.zeros(0)
    if runs.ndim != 1 or runs.dtype.kind not in "iu":
        raise ValueError(f"run lengths {counts!r:.60}: expected a list of whole numbers, or text")
    return runs.astype(np.int64)
