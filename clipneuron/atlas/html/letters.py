"""Fonts for letters that matplotlib's own has not: from those of the machine, as far as one has them."""

from collections.abc import Iterator
from typing import NamedTuple

from matplotlib import font_manager

OWN = "DejaVu Sans"
"""Latin, Greek, Cyrillic, Arabic, Hebrew and more, but no Chinese, Japanese or Korean."""
_BOXES = "Last Resort"
"""Fonts with this in their names have a box for every letter."""


class Fonts(NamedTuple):
    """With what a text can be drawn."""

    families: tuple[str, ...]
    """Names of fonts: a letter is taken from the first that has it."""
    missing: str
    """Letters that none has, each once."""


def fonts_for(text: str) -> Fonts:
    """Fonts for all letters of a text; the same text has the same ones on the same machine."""
    families, missing = [OWN], _without(font_manager.findfont(OWN), {*text})
    for name, file in _others() if missing else ():
        rest = _without(file, missing)
        if len(rest) < len(missing):
            families.append(name)
            missing = rest
        if not missing:
            break
    return Fonts(tuple(families), "".join(sorted(missing)))


def _others() -> Iterator[tuple[str, str]]:
    """Name and a file of each other font, by name."""
    files = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    yield from sorted(
        (name, file) for name, file in files.items() if name != OWN and _BOXES not in name
    )


def _without(file: str, letters: set[str]) -> set[str]:
    """Those of some letters that a font does not have: all, if it cannot be drawn with, as fonts of bitmaps cannot."""
    try:
        font = font_manager.get_font(file)
        font.set_size(12, 100)
    except (OSError, RuntimeError):
        return letters
    return {letter for letter in letters if not font.get_char_index(ord(letter))}
