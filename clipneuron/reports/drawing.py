"""What contact sheets of all reports share: their measures, colours and tiles."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from clipneuron.reports.printing import one_line

TILE, GAP, LABEL_WIDTH, HEADER = 96, 6, 250, 30
"""In pixels."""

INK, FAINT, PAPER, RED = (20, 20, 20), (110, 110, 110), (255, 255, 255), (210, 40, 40)
GREY = (225, 225, 225)
# Orange and blue of Okabe and Ito, which colour-blind readers tell apart.
TOWARDS, AGAINST = (213, 94, 0), (0, 114, 178)
_OPACITY = 0.8


Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Lost:
    """In place of a picture's bytes: why they can't be had."""

    reason: str


class Row(NamedTuple):
    """One row of a contact sheet: what stands at its left, and its pictures with the colours of their frames."""

    heading: str
    figures: str
    words: Sequence[str]
    """Lines of text."""
    pictures: Sequence[tuple[bytes | Lost, Colour | None]]


def contact_sheet(
    rows: Sequence[Row], title: str, pictures: int, columns: Sequence[str] = ()
) -> Image.Image:
    """Rows of at most so many pictures under a title; one that can't be shown is a grey tile with the reason.

    columns: what stands above the pictures of all rows.
    """
    width = LABEL_WIDTH + pictures * (TILE + GAP) + GAP
    header = HEADER * (2 if columns else 1)
    sheet = Image.new("RGB", (width, header + len(rows) * (TILE + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), one_line(title), FAINT, ImageFont.load_default(13))
    for place, column in enumerate(columns):
        words = "\n".join(wrap(column, TILE // 6, max_lines=2))
        draw.text(
            (LABEL_WIDTH + place * (TILE + GAP), HEADER), words, INK, ImageFont.load_default(11)
        )
    for number, row in enumerate(rows):
        top = header + number * (TILE + GAP)
        _label(draw, row, top)
        for place, (picture, frame) in enumerate(row.pictures[:pictures]):
            left = LABEL_WIDTH + place * (TILE + GAP)
            sheet.paste(tile(picture), (left, top))
            if frame:
                box = (left, top, left + TILE - 1, top + TILE - 1)
                draw.rectangle(box, outline=frame, width=3)
    return sheet


def _label(draw: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    large, small = ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((GAP, top), one_line(row.heading), INK, large)
    draw.text((GAP, top + 20), row.figures, FAINT, small)
    for number, line in enumerate(row.words):
        draw.text((GAP, top + 38 + number * 14), one_line(line), INK, small)


def png(picture: Image.Image) -> bytes:
    """The picture as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def tile(data: bytes | Lost) -> Image.Image:
    """The picture's centre square, which the model sees; a small picture is enlarged without blurring its pixels.

    A picture that is lost, or that Pillow does not open, is a grey square with the reason.
    """
    if isinstance(data, Lost):
        return lost_tile(data.reason, TILE)
    try:
        return _square(data)
    except Exception as error:  # a report shows what it can, whatever Pillow trips over
        return lost_tile(f"not shown: {error}", TILE)


def lost_tile(reason: str, side: int) -> Image.Image:
    """A grey square with a reason in it."""
    picture = Image.new("RGB", (side, side), GREY)
    letters = max(8, side // 6)
    text = "\n".join(wrap(reason, letters, max_lines=max(1, side // 13), placeholder=" ..."))
    ImageDraw.Draw(picture).text((GAP, GAP), text, INK, ImageFont.load_default(10))
    return picture


def _square(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    small = min(picture.size) < TILE
    method = Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC
    return ImageOps.fit(picture, (TILE, TILE), method)


def heat_layer(grid: NDArray[np.float32], size: tuple[int, int]) -> Image.Image:
    """A transparent picture of this width and height: orange where patches [row, column] are above 0, blue below.

    The strongest patch has full colour.
    """
    strongest = np.abs(grid).max() or 1.0
    field = Image.fromarray((grid / strongest).astype(np.float32))
    smooth = np.asarray(field.resize(size, Image.Resampling.BILINEAR))
    colours = np.where(smooth[..., None] > 0, TOWARDS, AGAINST)
    opacity = np.abs(smooth)[..., None] * 255 * _OPACITY
    return Image.fromarray(np.concatenate([colours, opacity], axis=-1).round().astype(np.uint8))
