"""Pictures made of pictures: the contact sheet of top images per neuron (Fig. 5's layout)."""

import io
from collections.abc import Callable, Sequence
from textwrap import shorten

from PIL import Image, ImageDraw, ImageFont

from clipneuron.atlas.neurons import NeuronCard

TILE = 96
GAP = 6
LABEL_WIDTH = 250
HEADER = 30
INK, FAINT, PAPER, RED = (20, 20, 20), (110, 110, 110), (255, 255, 255), (210, 40, 40)


def contact_sheet(
    cards: Sequence[NeuronCard], read: Callable[[int], bytes], title: str, pictures: int = 10
) -> Image.Image:
    """One row per neuron: its number, words and figures at the left, its top pictures at the right.

    A red frame marks pictures whose effect points against the neuron's direction, hence against its words' signs.
    `read` gives a picture's bytes by its number in the plan. ValueError when there is nothing to show.
    """
    if not cards:
        raise ValueError("a contact sheet needs at least one neuron")
    width = LABEL_WIDTH + pictures * (TILE + GAP) + GAP
    sheet = Image.new("RGB", (width, HEADER + len(cards) * (TILE + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    legend = "red frame: the effect points the other way, against the words' signs"
    draw.text((GAP, GAP), f"{title}   ({legend})", FAINT, ImageFont.load_default(13))
    for row, card in enumerate(cards):
        top = HEADER + row * (TILE + GAP)
        _label(draw, card, top)
        shown = zip(card.top_images[:pictures], card.top_projections, strict=False)
        for place, (image, projection) in enumerate(shown):
            left = LABEL_WIDTH + place * (TILE + GAP)
            sheet.paste(_tile(read(image)), (left, top))
            if projection < 0:
                draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), outline=RED, width=3)
    return sheet


def png(picture: Image.Image) -> bytes:
    """The picture as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _label(draw: ImageDraw.ImageDraw, card: NeuronCard, top: int) -> None:
    title, small = ImageFont.load_default(15), ImageFont.load_default(12)
    draw.text((GAP, top), f"layer {card.layer}, neuron #{card.neuron}", INK, title)
    figures = (
        f"PC 1 explains {card.explained_variance:.0%}, effective share {card.participation:.1%}"
    )
    draw.text((GAP, top + 20), figures, FAINT, small)
    for place, (text, weight) in enumerate(card.words[:4]):
        line = shorten(f"{'+' if weight >= 0 else '-'}{text}", 38, placeholder="...")
        draw.text((GAP, top + 38 + place * 14), line, INK, small)


def _tile(data: bytes) -> Image.Image:
    """The picture's centre square; a small picture is enlarged without blurring its pixels."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    method = Image.Resampling.NEAREST if side < TILE else Image.Resampling.BICUBIC
    return square.resize((TILE, TILE), method)
