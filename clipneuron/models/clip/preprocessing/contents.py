"""What a picture file holds besides 8-bit colours: values of high depth, and metadata larger than pictures."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from clipneuron.lens.options import HighDepth

_DEEP = {"I": "32-bit", "F": "float"}
"""Pillow's modes of more than 8 bits a value; those that begin with I;16 are 16-bit. All are grey."""

_PNG = b"\x89PNG\r\n\x1a\n"
_UNREAD = {b"tEXt", b"zTXt", b"iTXt", b"iCCP"}


class PictureError(ValueError):
    """A picture that cannot be read: `status` is one word to count by, `reason` a sentence for people.

    Statuses: empty, not_an_image, truncated, corrupt, too_large, not_finite, high_depth.
    """

    def __init__(self, status: str, reason: str):
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Shallow(NamedTuple):
    """A picture that open_clip's steps keep the content of, or destroy as they always do; and what to say of it."""

    image: Image.Image
    note: str
    """Begins with `clipped` or `scaled` and a colon; empty where nothing was lost."""


def shallow(image: Image.Image, high_depth: HighDepth, name: str) -> Shallow:
    """The picture with its values of high depth treated as asked; others come back as they are.

    clip leaves it to open_clip, which takes values below 0 for black and above 255 for white. scale makes the least
    value black and the greatest white. refuse raises PictureError where clip would lose something: for floats, and for
    integers outside 0 to 255. All raise it for values that are NaN or infinite.
    """
    if not image.mode.startswith("I;16") and image.mode not in _DEEP:
        return Shallow(image, "")
    values = np.asarray(image)
    least, greatest = _range(values, name)
    about = f"{_DEEP.get(image.mode, '16-bit')} values {least:,.6g} to {greatest:,.6g}"
    if high_depth == "scale":
        return Shallow(_scaled(values, least, greatest), f"scaled: {about} to 0 to 255")
    if image.mode != "F" and least >= 0 and greatest <= 255:
        return Shallow(image, "")
    if high_depth == "refuse":
        raise PictureError(
            "high_depth",
            f"{name}: {about} do not fit the 0 to 255 that the model reads, and `recipe.high_depth` is refuse: "
            "choose scale or clip, or convert the picture",
        )
    return Shallow(image, f"clipped: {about}; {_clipped(values)}")


def without_texts(data: bytes) -> bytes:
    """A PNG without its texts and colour profile, which Pillow unpacks first and refuses when large; others unchanged.

    Neither changes a pixel here: open_clip does not look at profiles.
    """
    if not data.startswith(_PNG):
        return data
    kept, start, place = [], 0, len(_PNG)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] in _UNREAD and end <= len(data):
            kept.append(data[start:place])
            start = end
        place = end
    return b"".join([*kept, data[start:]]) if kept else data


def _range(values: Shaped[np.ndarray, "height width"], name: str) -> tuple[float, float]:
    odd = int(values.size - np.isfinite(values).sum())
    if odd:
        raise PictureError(
            "not_finite",
            f"{name}: {odd:,} of {values.size:,} values are NaN or infinite: such a picture has no content for a "
            "model; write it anew with finite values",
        )
    return float(values.min()), float(values.max())


def _clipped(values: Shaped[np.ndarray, "height width"]) -> str:
    """What clipping does to the values."""
    lost = float(np.mean((values < 0) | (values > 255)))
    if lost:
        return f"below 0 is black and above 255 white ({lost:.0%} of them)"
    return "they are taken for levels of 0 to 255, without fractions"


def _scaled(
    values: Shaped[np.ndarray, "height width"], least: float, greatest: float
) -> Image.Image:
    span = (greatest - least) or 1.0
    shares = (values.astype(np.float64) - least) / span
    return Image.fromarray(np.rint(255 * shares).astype(np.uint8))
