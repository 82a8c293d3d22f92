"""Pictures with their concepts, as one picture (Fig. 7 and 8): words with scores, and the patches behind them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clipneuron.concepts.single import Concept, Seen
from clipneuron.config.concepts import CONTROL
from clipneuron.reports.drawing import FAINT, GAP, HEADER, INK, PAPER, TOWARDS, heat_layer
from clipneuron.reports.printing import one_line

SIDE, TILE, SHOWN = 208, 150, 4
"""Pixels of a picture and of a heat map, and heat maps of a picture."""
SCORES, WORDS, LINE = 210, 128, 17
"""Widths of the first method's column and of the others', and the height of a line, in pixels."""
_LETTERS = 17


def concepts_sheet(found: Sequence[Seen], title: str) -> Image.Image:
    """A band per picture: the picture, its first method's concepts, the patches behind the first four, other methods.

    Orange: patches that speak for the concept; blue: against it. ValueError when there is nothing to show.
    """
    if not found:
        raise ValueError("a sheet of concepts needs at least one picture")
    lines = max(len(concepts) for one in found for concepts in one.concepts.values())
    tall = max(SIDE + LINE, (lines + 1) * LINE, TILE + 4 * LINE) + 2 * GAP
    others = [method for method in [*found[0].concepts][1:] if method != CONTROL]
    tiles = SHOWN if any(len(one.heats) for one in found) else 0
    width = SIDE + SCORES + tiles * (TILE + GAP) + len(others) * WORDS + 4 * GAP
    sheet = Image.new("RGB", (width, HEADER + len(found) * tall), PAPER)
    draw = ImageDraw.Draw(sheet)
    legend = "orange: patches that speak for the concept, blue: against" if tiles else ""
    draw.text((GAP, GAP), f"{one_line(title)}   {legend}", FAINT, ImageFont.load_default(13))
    for number, one in enumerate(found):
        _band(sheet, draw, one, HEADER + number * tall, others, tiles)
    return sheet


def _band(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    one: Seen,
    top: int,
    others: Sequence[str],
    tiles: int,
) -> None:
    small = ImageFont.load_default(12)
    sheet.paste(_view(one, SIDE), (GAP, top))
    draw.text((GAP, top + SIDE), _short(one.name, 32), FAINT, small)
    first, *_ = one.concepts.items()
    left = SIDE + 2 * GAP
    _column(draw, (left, top), *first, SCORES)
    left += SCORES
    shown = first[1][: len(one.heats)]  # methods that read no neurons have no heats
    for heat, concept in list(zip(one.heats, shown, strict=True))[:tiles]:
        sheet.paste(_heated(one, heat), (left, top))
        _caption(draw, (left, top + TILE), concept)
        left += TILE + GAP
    left = SIDE + 2 * GAP + SCORES + tiles * (TILE + GAP)
    for method in others:
        _column(draw, (left, top), method, dict(one.concepts)[method], 0)  # type: ignore[index]
        left += WORDS


def _column(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    method: str,
    concepts: Sequence[Concept],
    width: int,
) -> None:
    """A method's concepts, one below the other; with bars and scores where there is a width for them."""
    left, top = corner
    draw.text((left, top), method, FAINT, ImageFont.load_default(12))
    font = ImageFont.load_default(13)
    most = max((concept.score for concept in concepts), default=1.0)
    for line, concept in enumerate(concepts, 1):
        height = top + line * LINE
        start = left
        if width:
            length = round(44 * concept.score / most)
            draw.rectangle((left + 44 - length, height + 4, left + 44, height + 13), fill=TOWARDS)
            start = left + 50
            draw.text((left + width - 44, height), f"{concept.score:.3f}", FAINT, font)
        draw.text((start, height), _short(concept.text, _LETTERS), INK, font)
    if not concepts:
        draw.text((left, top + LINE), "none", FAINT, font)


def _caption(draw: ImageDraw.ImageDraw, corner: tuple[int, int], concept: Concept) -> None:
    left, top = corner
    draw.text((left, top), _short(concept.text, 22), INK, ImageFont.load_default(13))
    small = ImageFont.load_default(11)
    for line, source in enumerate(concept.sources[:3], 1):
        text = f"{source.layer}:{source.neuron}  {source.given:+.3f}"
        draw.text((left, top + 2 + line * 14), text, FAINT, small)


def _view(one: Seen, side: int) -> Image.Image:
    """What the model sees, as large as the sheet shows it; small pictures keep their pixels."""
    picture = Image.fromarray(np.ascontiguousarray(one.pixels.transpose(1, 2, 0)))
    method = Image.Resampling.NEAREST if min(picture.size) < side else Image.Resampling.BICUBIC
    scale = side / max(picture.size)
    return picture.resize(
        (round(picture.width * scale) or 1, round(picture.height * scale) or 1), method
    )


def _heated(one: Seen, heat: np.ndarray) -> Image.Image:
    """The picture without colours, under the heat of a concept."""
    picture = _view(one, TILE).convert("L").convert("RGBA")
    layer = heat_layer(heat, picture.size)
    return Image.alpha_composite(picture, layer).convert("RGB")


def _short(text: str, letters: int) -> str:
    line = one_line(text)
    return line if len(line) <= letters else f"{line[: letters - 3].rstrip()}..."
