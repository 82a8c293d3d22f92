"""Pictures of few colours as PNG, written by hand: a site has a million small ones, and a library's files vary."""

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence

from markupsafe import Markup

Colour = tuple[int, int, int, int]
"""Red, green, blue and opacity, each up to 255."""
_BEGIN = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


_END = _chunk(b"IEND", b"")


def palette(colours: Sequence[Colour]) -> bytes:
    """At most 256 colours as a part of a PNG, which many pictures share."""
    solid = b"".join(bytes(colour[:3]) for colour in colours)
    return _chunk(b"PLTE", solid) + _chunk(b"tRNS", bytes(colour[3] for colour in colours))


def picture(columns: int, rows: int, pixels: bytes, colours: bytes) -> bytes:
    """The PNG of a picture of a `palette`; `pixels` are the numbers of its colours, row after row."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0))
    lines = (pixels[n : n + columns] for n in range(0, columns * rows, columns))
    packed = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    return b"".join([_BEGIN, header, colours, _chunk(b"IDAT", packed), _END])


def address(png: bytes) -> Markup:
    """The address of a picture that carries its own data."""
    return Markup("data:image/png;base64," + b64encode(png).decode())
