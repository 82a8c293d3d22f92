"""Heat over the patches of a picture, as a picture of one pixel per patch that the browser enlarges."""

import struct
import zlib
from base64 import b64encode

from markupsafe import Markup

from clipneuron.atlas.cards import Heat
from clipneuron.reports.drawing import AGAINST, TOWARDS

_ZERO, _FULL = 128, 127
_STEPS = 7
"""Shades of each colour, beside the transparent one between them: what the eye tells apart, in few bytes."""
_OPACITY = 0.85


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


_PALETTE = _chunk(b"PLTE", bytes(AGAINST) * _STEPS + bytes(3) + bytes(TOWARDS) * _STEPS)
_ALPHA = _chunk(
    b"tRNS",
    bytes(round(255 * _OPACITY * abs(step) / _STEPS) for step in range(-_STEPS, _STEPS + 1)),
)
_SHADE = bytes(_STEPS + round(_STEPS * max(-1.0, (v - _ZERO) / _FULL)) for v in range(256))
"""The palette's colour of each value of a heat."""
_END = _chunk(b"IEND", b"")


def heat_png(heat: Heat) -> bytes:
    """A transparent PNG, a pixel per patch: orange where values are above 0, blue below, `scale` in full colour.

    Written by hand, because a site has a million of them. Raises ValueError where there are not rows x columns values.
    """
    if len(heat.values) != heat.rows * heat.columns or not heat.values:
        raise ValueError(
            f"a heat of {heat.rows} x {heat.columns} patches has {len(heat.values)} values"
        )
    header = struct.pack(">IIBBBBB", heat.columns, heat.rows, 8, 3, 0, 0, 0)
    shades = heat.values.translate(_SHADE)
    lines = (shades[n : n + heat.columns] for n in range(0, len(shades), heat.columns))
    pixels = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    parts = _chunk(b"IHDR", header), _PALETTE, _ALPHA, _chunk(b"IDAT", pixels), _END
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def heat_data(heat: Heat) -> Markup:
    """The same as the address of a picture that carries its own data, a few hundred bytes."""
    return Markup("data:image/png;base64," + b64encode(heat_png(heat)).decode())
