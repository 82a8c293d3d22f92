"""Pictures from text-to-image models, as stages ask for them and put them down."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from clipneuron.models.painting.painter import Order, Painted, Painter


def paintings(painter: Painter, orders: Sequence[Order]) -> list[Painted]:
    """What became of each order; raises ValueError for a painter that does not answer each."""
    painted = painter.paint(orders)
    if len(painted) != len(orders):
        raise ValueError(
            f"{painter.name} returned {len(painted)} pictures or reasons for {len(orders)} orders: "
            "expected one for each"
        )
    return painted


def status_of(painted: Painted) -> tuple[str, str]:
    """One word to count by and the reason."""
    if painted.pixels is not None:
        return "ok", ""
    flagged = "unsafe" if painted.unsafe else "watermarked" if painted.watermarked else "failed"
    return flagged, painted.reason or "the painter gave neither a picture nor a reason"


def png_with(pixels: UInt8[np.ndarray, "height width 3"], texts: Mapping[str, str]) -> bytes:
    """The picture as a PNG file with texts inside."""
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png", pnginfo=info)
    return file.getvalue()
