"""The backgrounds of the demo world, painted from gradients, noise and a few shapes."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Side of a picture in pixels."""

VARIANTS = 32
"""How many different paintings exist of each background."""

Canvas = NDArray[np.float64]
Colour = tuple[int, int, int]

PHRASES = {
    "grass": "on grass",
    "sea": "on the sea",
    "sky": "in the sky",
    "snow": "in the snow",
    "desert": "in the desert",
    "night": "at night",
    "forest": "in a forest",
    "road": "on a road",
    "room": "in a room",
    "beach": "on a beach",
    "city": "in a city",
    "mountains": "in the mountains",
}
"""Background -> its phrase in a caption."""

BACKGROUNDS = tuple(PHRASES)


@lru_cache(maxsize=1024)
def background(name: str, variant: int) -> NDArray[np.uint8]:
    """Painting number `variant` of background `name`, [64, 64, 3], read-only."""
    if name not in PHRASES:
        raise ValueError(f"no background is called {name!r}; there are {', '.join(PHRASES)}")
    dice = np.random.default_rng([BACKGROUNDS.index(name), variant])
    canvas = _PAINTERS[name](dice)
    canvas = canvas * dice.uniform(0.93, 1.07) + dice.normal(0, 2.0, canvas.shape)
    picture = np.clip(canvas, 0, 255).astype(np.uint8)
    picture.flags.writeable = False
    return picture


def _gradient(top: Colour, bottom: Colour, rows: int = SIDE) -> Canvas:
    """Rows fading from one colour to the other, [rows, 64, 3]."""
    mix: Canvas = np.linspace(0, 1, rows)[:, None, None]
    colours: Canvas = np.array(top) * (1 - mix) + np.array(bottom) * mix
    return np.repeat(colours, SIDE, axis=1)


def _horizon(row: int, above: tuple[Colour, Colour], below: tuple[Colour, Colour]) -> Canvas:
    """Two gradients that meet at a row, [64, 64, 3]."""
    return np.concatenate([_gradient(*above, row), _gradient(*below, SIDE - row)])


def _cloud(dice: np.random.Generator, cells: int, rows: int = SIDE) -> Canvas:
    """Smooth noise in [0, 1] with about `cells` blobs per side, [rows, 64, 1]."""
    coarse = dice.random((cells + 1, cells + 1))
    spots = np.linspace(0, cells - 1e-6, SIDE)
    low, part = spots.astype(int), spots % 1
    wide = coarse[:, low] * (1 - part) + coarse[:, low + 1] * part
    part = part[:, None]
    smooth: Canvas = wide[low] * (1 - part) + wide[low + 1] * part
    return smooth[:rows, :, None]


def _strokes(dice: np.random.Generator, canvas: Canvas, first_row: int, shift: float) -> None:
    """Short vertical strokes, lighter and darker, like blades of grass."""
    for _ in range(90):
        row, column = dice.integers(first_row, SIDE), dice.integers(SIDE)
        canvas[max(first_row, row - 4) : row, column] += dice.uniform(-shift, shift)


def _grass(dice: np.random.Generator) -> Canvas:
    canvas = _gradient((132, 196, 84), (74, 150, 46)) + 22 * (_cloud(dice, 6) - 0.5)
    _strokes(dice, canvas, 0, 42)
    return canvas


def _sea(dice: np.random.Generator) -> Canvas:
    row = int(dice.integers(8, 18))
    canvas = _horizon(
        row, ((176, 220, 244), (214, 236, 246)), ((44, 132, 190), (10, 66, 128))
    ).copy()
    for _ in range(16):
        line, left = dice.integers(row + 2, SIDE - 1), dice.integers(-6, SIDE)
        width = 4 + (line - row) // 4
        wave = slice(max(0, left), max(0, left + width))
        canvas[line, wave] += 46
        canvas[line + 1, wave] -= 14
    return canvas


def _sky(dice: np.random.Generator) -> Canvas:
    canvas = _gradient((92, 168, 236), (186, 224, 250))
    # Only a veil: piled-up clouds would be mistaken for the thing called cloud.
    veil = np.clip((_cloud(dice, 3) * 0.6 + _cloud(dice, 7) * 0.4 - 0.5) * 2, 0, 0.45)
    return canvas * (1 - veil) + 252 * veil


def _snow(dice: np.random.Generator) -> Canvas:
    canvas = _horizon(
        int(dice.integers(14, 26)), ((166, 186, 206), (206, 218, 230)), ((248, 250, 254),) * 2
    ) - 10 * _cloud(dice, 5)
    flakes = dice.integers(1, SIDE - 1, (2, 46))
    canvas[flakes[0], flakes[1]] = 255
    canvas[flakes[0] + 1, flakes[1]] = 255
    return canvas


def _desert(dice: np.random.Generator) -> Canvas:
    canvas = _gradient((250, 214, 150), (252, 234, 190)).copy()
    columns = np.arange(SIDE)
    for depth, colour in ((18, (236, 182, 104)), (32, (222, 158, 78)), (46, (204, 138, 62))):
        crest = depth + 5 * np.sin(columns / dice.uniform(7, 12) + dice.uniform(0, 6))
        canvas[np.arange(SIDE)[:, None] >= crest[None]] = colour
    return canvas + 14 * (_cloud(dice, 12) - 0.5)


def _night(dice: np.random.Generator) -> Canvas:
    canvas = _gradient((8, 10, 34), (34, 34, 84)).copy()
    stars = dice.integers(0, SIDE, (2, 34))
    canvas[stars[0], stars[1]] = dice.uniform(140, 255, (34, 1))
    return canvas


def _forest(dice: np.random.Generator) -> Canvas:
    canvas = _gradient((30, 78, 40), (52, 96, 44)) + 40 * (_cloud(dice, 10) - 0.5)
    for column in dice.permutation(np.arange(0, SIDE - 4, 7))[:6]:
        width = dice.integers(3, 6)
        canvas[10:54, column : column + width] = np.array((84, 58, 36)) + dice.uniform(-10, 10)
        canvas[10:54, column] = (60, 40, 26)
    thinning = np.linspace(0.75, 0.0, 32)[:, None, None]
    leaves = np.clip((_cloud(dice, 11, 32) - 0.8 + thinning) * 6, 0, 1)
    canvas[:32] = canvas[:32] * (1 - leaves) + np.array((40, 106, 46)) * leaves
    canvas[54:] = np.array((70, 84, 40)) + 30 * (_cloud(dice, 14, 10) - 0.5)
    return canvas


def _road(dice: np.random.Generator) -> Canvas:
    row = int(dice.integers(12, 20))
    canvas = _horizon(row, ((170, 206, 232),) * 2, ((120, 160, 84), (96, 138, 66))).copy()
    rows = np.arange(row, SIDE)
    depth = (rows - row) / (SIDE - row)
    off = np.abs(np.arange(SIDE)[None] - SIDE / 2)
    half = (5 + 32 * depth)[:, None]
    canvas[row:][off <= half] = (104, 104, 110)
    canvas[row:][(off <= half) & (off > half - 1.5)] = (228, 228, 228)
    dashes = ((rows + dice.integers(0, 12)) // 6 % 2 == 0)[:, None]
    canvas[row:][dashes & (off <= 0.6 + 1.4 * depth[:, None])] = (238, 206, 70)
    return canvas


def _room(dice: np.random.Generator) -> Canvas:
    row = int(dice.integers(38, 46))
    wall = np.array(((226, 206, 178), (206, 214, 196), (222, 196, 192))[dice.integers(3)])
    canvas = np.broadcast_to(wall, (SIDE, SIDE, 3)).astype(np.float64)
    canvas[:row, :: int(dice.integers(6, 10))] -= 16
    canvas[row - 3 : row] = (246, 242, 234)
    canvas[row:] = (158, 106, 62)
    canvas[row::5] -= 34
    for line in range(row, SIDE, 5):
        canvas[line : line + 5, dice.integers(0, SIDE, 3)] -= 26
    return canvas


def _beach(dice: np.random.Generator) -> Canvas:
    canvas = _horizon(12, ((150, 212, 246), (200, 232, 248)), ((40, 160, 196), (86, 196, 208)))
    shore = dice.uniform(28, 34) + 2.5 * np.sin(np.arange(SIDE) / dice.uniform(5, 9))
    rows = np.arange(SIDE)[:, None]
    canvas[rows >= shore[None] - 2.5] = (248, 252, 252)
    canvas[rows >= shore[None]] = (240, 220, 164)
    speckle = dice.integers(0, SIDE, (2, 60))
    canvas[speckle[0], speckle[1]] -= 22.0 * (speckle[0] > 38)[:, None]
    return canvas


def _city(dice: np.random.Generator) -> Canvas:
    canvas = _gradient((196, 208, 222), (226, 218, 208)).copy()
    left = 0
    while left < SIDE:
        width, top = int(dice.integers(9, 16)), int(dice.integers(4, 26))
        tone = np.array((112, 120, 138)) + dice.uniform(-28, 28)
        canvas[top:54, left : left + width - 1] = tone
        canvas[top + 3 : 52 : 5, left + 2 : left + width - 2 : 3] = (250, 226, 140)
        canvas[top + 4 : 52 : 5, left + 2 : left + width - 2 : 3] = (250, 226, 140)
        left += width
    canvas[54:] = (138, 138, 142)
    canvas[54] = (92, 92, 96)
    return canvas


def _mountains(dice: np.random.Generator) -> Canvas:
    canvas = _gradient((126, 182, 226), (206, 228, 240)).copy()
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for tone in (0, -22, -40):
        peak, middle = dice.uniform(8, 22), dice.uniform(4, SIDE - 4)
        rise = peak + np.abs(columns - middle) * dice.uniform(1.0, 1.5)
        canvas[rows >= rise] = np.array((126, 122, 130)) + tone
        ragged = rise + 8 + 2 * np.sin(columns * 1.3)
        canvas[(rows >= rise) & (rows < ragged) & (rows < peak + 15)] = (246, 248, 252)
    canvas[52:] = _gradient((104, 148, 84), (84, 126, 66), SIDE - 52)
    return canvas


_PAINTERS: dict[str, Callable[[np.random.Generator], Canvas]] = {
    "grass": _grass,
    "sea": _sea,
    "sky": _sky,
    "snow": _snow,
    "desert": _desert,
    "night": _night,
    "forest": _forest,
    "road": _road,
    "room": _room,
    "beach": _beach,
    "city": _city,
    "mountains": _mountains,
}
