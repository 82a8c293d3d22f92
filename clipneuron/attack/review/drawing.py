"""What the page shows as pictures: painted ones without their metadata, and heatmaps to lay over them."""

import io
from math import isqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipneuron.reports.drawing import heat_layer, png

_SIDE = 384


def bare(data: bytes) -> bytes:
    """The picture as PNG, pixels only: its metadata names the method, which a reviewer must not know.

    Raises ValueError for bytes that are no picture.
    """
    painted = _opened(data).convert("RGB")
    pixels = Image.new("RGB", painted.size)
    pixels.paste(painted)
    return png(pixels)


def overlay(heatmap: NDArray[np.float32], data: bytes) -> bytes:
    """A transparent PNG in the picture's shape: orange where a patch speaks for c2, blue where it speaks for c1.

    The model sees the centre square, so that is where the heatmap lies. The strongest patch has full colour; raises
    ValueError for a heatmap that is no square of patches, and as `bare`.
    """
    patches = isqrt(len(heatmap))
    if not patches or patches**2 != len(heatmap):
        raise ValueError(f"a heatmap of {len(heatmap)} patches is no square: it cannot be drawn")
    width, height = _opened(data).size
    scale = _SIDE / min(width, height)
    size = round(width * scale), round(height * scale)
    sheet = Image.new("RGBA", size)
    sheet.paste(heat_layer(heatmap.reshape(patches, patches), (_SIDE, _SIDE)), _centred(size))
    return png(sheet)


def _opened(data: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except (OSError, SyntaxError) as error:
        raise ValueError(f"these bytes are no picture that can be shown: {error}") from error
    return picture


def _centred(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] - _SIDE) // 2, (size[1] - _SIDE) // 2
