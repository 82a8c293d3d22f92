"""Masks at the size that a model reads, pixel on pixel with their pictures or as others have misplaced them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from clipneuron.data.masks.maps import BACKGROUND, LabelMap, MaskError
from clipneuron.lens.options import Alignment
from clipneuron.models.clip.preprocessing.pixels import Frame

_Change = Callable[[Shaped[np.ndarray, "height width"], int], Shaped[np.ndarray, "height width"]]
"""From an array of labels, and the label of what lies outside, to another."""


def fitted(found: LabelMap, size: tuple[int, int], name: str) -> LabelMap:
    """The label map at the size (height, width) of its picture.

    One of another size, but the same shape up to a pixel of the smaller of the two, is resized by nearest neighbour,
    and its note says so. Raises MaskError with the status other_size for one of another shape: where its pixels belong
    cannot be known.
    """
    if found.size == size:
        return found
    (height, width), (own_height, own_width) = size, found.size
    sizes = f"its mask is {own_width} x {own_height}, the picture {width} x {height}"
    if not _same_shape(found.size, size):
        turned = (
            " (it would fit turned by a quarter)" if _same_shape(found.size[::-1], size) else ""
        )
        raise MaskError(
            "other_size",
            f"{name}: {sizes}{turned}: a mask of another shape cannot be laid over its picture; write it in the "
            "picture's own size",
        )
    note = f"resized: {sizes}"
    return replace(_changed(found, lambda values, _: _resized(values, size)), note=note)


def framed(found: LabelMap, frame: Frame, alignment: Alignment) -> LabelMap:
    """The label map of a picture, at the picture's size, in the frame that a model reads; by nearest neighbour.

    aligned: resized, cropped and padded exactly as `frame` does the picture; padding is unknown. square: squeezed into
    the frame, whatever becomes of the picture. The latter is the protocol of clip_prs and second_order_lens, whose
    pictures are cropped and whose masks are not, so that the two do not lie on each other.
    """
    if alignment == "square":
        return _changed(found, lambda values, _: _resized(values, frame.size))
    return _changed(found, frame.labels)


def _changed(found: LabelMap, change: _Change) -> LabelMap:
    covered = {value: _flags(part, change, False) for value, part in found.covered.items()}
    return LabelMap(
        change(found.labels, BACKGROUND).astype(np.int32),
        _flags(found.unknown, change, True),
        covered,
        found.note,
    )


def _flags(
    part: Shaped[np.ndarray, "height width"], change: _Change, outside: bool
) -> Shaped[np.ndarray, "height width"]:
    return change(part.astype(np.uint8), int(outside)).astype(np.bool_)


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one is the other on another scale, up to rounding the smaller one's sides."""
    small, large = sorted((one, other), key=lambda size: size[0] * size[1])
    scale = max(small) / max(large)
    return all(abs(side - scale * whole) <= 1 for side, whole in zip(small, large, strict=True))


def _resized(
    values: Shaped[np.ndarray, "height width"], size: tuple[int, int]
) -> Shaped[np.ndarray, "height width"]:
    return np.asarray(Image.fromarray(values).resize(size[::-1], Image.Resampling.NEAREST))
