"""Heat over the patches of a picture, as a picture of one pixel per patch that the browser enlarges."""

from markupsafe import Markup

from clipneuron.atlas.cards import Heat
from clipneuron.atlas.html.charts import png
from clipneuron.atlas.shades import FULL, ZERO
from clipneuron.reports.drawing import AGAINST, TOWARDS

_STEPS = 7
"""Shades of each colour, beside the transparent one between them: what the eye tells apart, in few bytes."""
_OPACITY = 0.85
_COLOURS = png.palette(
    [
        (*(AGAINST if step < 0 else TOWARDS), round(255 * _OPACITY * abs(step) / _STEPS))
        for step in range(-_STEPS, _STEPS + 1)
    ]
)
_SHADE = bytes(_STEPS + round(_STEPS * max(-1.0, (v - ZERO) / FULL)) for v in range(256))
"""The palette's colour of each value of a heat."""


def heat_png(heat: Heat) -> bytes:
    """A transparent PNG, a pixel per patch: orange where values are above 0, blue below, `scale` in full colour.

    Raises ValueError where there are not rows x columns values.
    """
    if len(heat.values) != heat.rows * heat.columns or not heat.values:
        raise ValueError(
            f"a heat of {heat.rows} x {heat.columns} patches has {len(heat.values)} values"
        )
    return png.picture(heat.columns, heat.rows, heat.values.translate(_SHADE), _COLOURS)


def heat_data(heat: Heat) -> Markup:
    """The same as the address of a picture that carries its own data, a few hundred bytes."""
    return png.address(heat_png(heat))
