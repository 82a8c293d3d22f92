"""Pictures made of pictures: the contact sheet of top images per neuron (Fig. 5's layout)."""

from collections.abc import Callable, Sequence
from textwrap import shorten

from PIL import Image, ImageDraw, ImageFont

from clipneuron.reports.drawing import (
    FAINT,
    GAP,
    HEADER,
    INK,
    LABEL_WIDTH,
    PAPER,
    RED,
    TILE,
    tile,
)
from clipneuron.sweep.neurons import NeuronCard


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
            sheet.paste(tile(read(image)), (left, top))
            if projection < 0:
                draw.rectangle((left, top, left + TILE - 1, top + TILE - 1), outline=RED, width=3)
    return sheet


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
