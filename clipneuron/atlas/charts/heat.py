"""Heat over the patches of a picture, as a picture of one pixel per patch that the browser enlarges."""

import base64

import numpy as np
from markupsafe import Markup
from PIL import Image

from clipneuron.atlas.cards import Heat
from clipneuron.reports.drawing import AGAINST, TOWARDS, png

_ZERO, _FULL = 128, 127
_OPACITY = 0.85


def heat_picture(heat: Heat) -> Image.Image:
    """A transparent picture, a pixel per patch: orange where values are above 0, blue below.

    The strongest patch of the picture has full colour. Raises ValueError where there are not rows x columns values.
    """
    if len(heat.values) != heat.rows * heat.columns or not heat.values:
        raise ValueError(
            f"a heat of {heat.rows} x {heat.columns} patches has {len(heat.values)} values"
        )
    grid = np.frombuffer(heat.values, np.uint8).astype(np.float32).reshape(heat.rows, heat.columns)
    signed = (grid - _ZERO) / _FULL
    strength = np.abs(signed) / (np.abs(signed).max() or 1.0)
    colours = np.where(signed[..., None] > 0, TOWARDS, AGAINST)
    opacity = strength[..., None] * 255 * _OPACITY
    pixels = np.concatenate([colours, opacity], axis=-1).round().astype(np.uint8)
    return Image.fromarray(pixels)


def heat_data(heat: Heat) -> Markup:
    """The same as the address of a picture that carries its own data, a few hundred bytes."""
    return Markup("data:image/png;base64," + base64.b64encode(png(heat_picture(heat))).decode())
