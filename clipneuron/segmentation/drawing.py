"""Maps as pictures: laid over what the model sees, and side by side."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from clipneuron.reports.drawing import TILE, Row, contact_sheet, png

SIDE = 384
"""Shorter side of a picture with a map over it that stands alone, in pixels, at least."""
_OPACITY = 0.6

Pixels = UInt8[np.ndarray, "3 height width"]


class Drawn(NamedTuple):
    """A picture with the maps of one class."""

    heading: str
    name: str
    """Of the class."""
    said: tuple[str, ...]
    """What is to be said of it, a line each."""
    pixels: Pixels
    """What the model sees of the picture."""
    maps: Mapping[str, Float[np.ndarray, "rows columns"]]
    """By method, any scale."""
    front: Bool[np.ndarray, "height width"] | None = None
    """The mask, where there is one."""


def overlay(
    pixels: Pixels, heat: Float[np.ndarray, "rows columns"], side: int = SIDE
) -> Image.Image:
    """The map, bright where it is greatest, over the picture in grey; at least so many pixels high and wide."""
    height, width = pixels.shape[1:]
    scale = max(1, -(-side // min(height, width)))
    size = width * scale, height * scale
    picture = Image.fromarray(pixels.transpose(1, 2, 0)).resize(size, Image.Resampling.NEAREST)
    least, greatest = float(heat.min()), float(heat.max())
    shares = (heat - least) / ((greatest - least) or 1.0)
    smooth = Image.fromarray(shares.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    colours = matplotlib.colormaps["inferno"](np.asarray(smooth).clip(0, 1))[..., :3]
    coloured = Image.fromarray((255 * colours).round().astype(np.uint8))
    return Image.blend(picture.convert("L").convert("RGB"), coloured, _OPACITY)


def masked(pixels: Pixels, front: Bool[np.ndarray, "height width"]) -> Image.Image:
    """What of the picture the mask shows."""
    return Image.fromarray((pixels * np.maximum(front, 0.15)).astype(np.uint8).transpose(1, 2, 0))


def sheet(rows: Sequence[Drawn], title: str, methods: Sequence[str]) -> bytes:
    """A row per picture and class: the picture, its mask where there are any, and every method's map; as PNG."""
    with_masks = any(row.front is not None for row in rows)
    columns = ["picture", *(["mask"] if with_masks else []), *methods]
    drawn = [_row(row, methods, with_masks) for row in rows]
    return png(contact_sheet(drawn, title, len(columns), columns))


def _row(row: Drawn, methods: Sequence[str], with_masks: bool) -> Row:
    pictures = [Image.fromarray(row.pixels.transpose(1, 2, 0))]
    if with_masks:
        front = np.zeros(row.pixels.shape[1:], np.bool_) if row.front is None else row.front
        pictures.append(masked(row.pixels, front))
    pictures += [overlay(row.pixels, row.maps[method], TILE) for method in methods]
    return Row(row.heading, row.name, row.said, [(png(each), None) for each in pictures])
