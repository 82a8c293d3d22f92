"""Heat over the patches of a picture, as a picture of one pixel per patch that the browser enlarges."""

import struct
import zlib
from base64 import b64encode

from markupsafe import Markup

from clipneuron.atlas.cards import Heat
from clipneuron.reports.drawing import AGAINST, TOWARDS

_ZERO, _FULL = 128, 127
_STEPS = 7
"""Shades of each colour: with the transparent one between them, a pixel takes half a byte."""
_OPACITY = 0.85


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


_PALETTE = _chunk(b"PLTE", bytes(AGAINST) * _STEPS + bytes(3) + bytes(TOWARDS) * _STEPS)
_ALPHA = _chunk(
    b"tRNS",
    bytes(round(255 * _OPACITY * abs(step) / _STEPS) for step in range(-_STEPS, _STEPS + 1)),
)
_SHADE = [_STEPS + round(_STEPS * max(-1.0, (value - _ZERO) / _FULL)) for value in range(256)]
"""The palette's colour of each value of a heat."""


def heat_png(heat: Heat) -> bytes:
    """A transparent PNG, a pixel per patch: orange where values are above 0, blue below, `scale` in full colour.

    Written by hand, because a site has a million of them. Raises ValueError where there are not rows x columns values.
    """
    if len(heat.values) != heat.rows * heat.columns or not heat.values:
        raise ValueError(
            f"a heat of {heat.rows} x {heat.columns} patches has {len(heat.values)} values"
        )
    header = struct.pack(">IIBBBBB", heat.columns, heat.rows, 4, 3, 0, 0, 0)
    lines = (heat.values[n : n + heat.columns] for n in range(0, len(heat.values), heat.columns))
    pixels = zlib.compress(b"".join(b"\0" + _halves(line) for line in lines), 9)
    parts = _chunk(b"IHDR", header), _PALETTE, _ALPHA, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def heat_data(heat: Heat) -> Markup:
    """The same as the address of a picture that carries its own data, a few hundred bytes."""
    return Markup("data:image/png;base64," + b64encode(heat_png(heat)).decode())


def _halves(line: bytes) -> bytes:
    """Two pixels to a byte, the first one in its upper half."""
    shades = [_SHADE[value] for value in line]
    shades += [0] * (len(shades) % 2)
    return bytes(a << 4 | b for a, b in zip(shades[::2], shades[1::2], strict=True))
