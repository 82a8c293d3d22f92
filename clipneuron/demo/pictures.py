"""Pictures of scenes: things by several hands, turned, stretched and tinted, before backgrounds that never look alike.

A scene's `look` is the seed of all this. `hardness` is a dial from 0 (one drawing of each thing, upright, before one of
`VARIANTS` paintings) to 1; a picture of the world has `HARDNESS`. A tower learns words that are true only in a world
where one glance at fixed patches does not suffice.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipneuron.demo.artwork import SIDE as DRAWN
from clipneuron.demo.artwork import Hand, drawing
from clipneuron.demo.backgrounds import SIDE, background
from clipneuron.demo.scenes import Placed, Scene

WORLD = 2
"""Which way scenes are rendered: the first world had one drawing of each thing, and plain backgrounds."""

HARDNESS = 0.5
"""Of the world's pictures: as hard as the demo's tower can learn in a few hours of two cores."""

_HANDS = (*[Hand.TWEMOJI] * 3, *[Hand.OPENMOJI] * 3, Hand.NOTO)
"""How often each is taken. Outlines are rare: they are hard to tell apart at 20 pixels."""

_TURN = np.deg2rad(35)
_STRETCH = 0.25
"""Greatest logarithm of the stretch of either axis."""
_CLUTTER = 1.5
"""Patches of clutter per picture, on average."""

Pixels = NDArray[np.float32]


def render(scene: Scene, hardness: float = HARDNESS) -> NDArray[np.uint8]:
    """The picture of the scene, [64, 64, 3]."""
    canvas = _ground(scene, hardness)
    for placed in scene.objects:
        colours, opacity = _sprite(placed, scene.look, hardness)
        window = canvas[_window(placed)]
        window *= 1 - opacity
        window += colours * opacity
    for patch in _clutter(scene.look, hardness):
        canvas[patch.window] *= 0.3
        canvas[patch.window] += 0.7 * patch.colour
    return canvas.astype(np.uint8)


def masks(scene: Scene, hardness: float = HARDNESS) -> NDArray[np.bool_]:
    """Where each object is visible, [object, 64, 64]: its pixels that neither later objects nor clutter hide."""
    seen = np.zeros((len(scene.objects), SIDE, SIDE), dtype=np.bool_)
    for number, placed in enumerate(scene.objects):
        shape = _sprite(placed, scene.look, hardness).opacity[..., 0] > 0.5
        seen[(slice(number), *_window(placed))] &= ~shape
        seen[(number, *_window(placed))] = shape
    for patch in _clutter(scene.look, hardness):
        seen[(slice(None), *patch.window)] = False
    return seen


def _window(placed: Placed) -> tuple[slice, slice]:
    """The rows and columns of the placed thing's square."""
    return slice(placed.y, placed.y + placed.size), slice(placed.x, placed.x + placed.size)


def _ground(scene: Scene, hardness: float) -> Pixels:
    """A view of the background: zoomed, mirrored, recoloured, faded, clouded, with grain."""
    dice = np.random.default_rng([scene.look, 0])
    painting = Image.fromarray(background(scene.background, scene.variant))
    if hardness == 0:
        return np.asarray(painting).astype(np.float32)
    side = int(SIDE / (1 + dice.uniform(0, 0.9) * hardness))
    x, y = dice.integers(0, SIDE - side + 1, 2)
    view = painting.crop((x, y, x + side, y + side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    canvas = np.asarray(view)[:, :: -1 if dice.random() < 0.5 else 1].astype(np.float32)
    canvas = _recoloured(canvas, dice, 0.45 * hardness)
    fade = dice.uniform(0, 0.6) * hardness
    canvas *= 1 - fade
    canvas += fade * dice.uniform(0, 255, 3)
    cloud = Image.fromarray(dice.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    cloud = cloud.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    canvas += (np.asarray(cloud).astype(np.float32) - 128) * (0.45 * hardness * dice.random())
    canvas += dice.normal(0, 8 * hardness, canvas.shape)
    return np.clip(canvas, 0, 255)


class _Sprite(NamedTuple):
    """A thing as it stands in its square: colours [size, size, 3] to 255, opacity [size, size, 1] to 1."""

    colours: Pixels
    opacity: Pixels


def _sprite(placed: Placed, look: int, hardness: float) -> _Sprite:
    """The thing in one of its drawings, as this look has it: the same whatever else is in the scene."""
    dice = np.random.default_rng([look, 1, placed.x, placed.y, placed.size])
    varied = dice.random() < min(1, 1.5 * hardness)
    hand = _HANDS[dice.integers(len(_HANDS))] if varied else Hand.TWEMOJI
    image = drawing(placed.thing.codepoint, hand)
    if placed.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(_turned(image, dice, hardness, placed.size)).astype(np.float32)
    colours, opacity = pixels[..., :3], pixels[..., 3:] / np.float32(255)
    if hand is Hand.NOTO:
        return _Sprite(np.broadcast_to(_tint(dice), colours.shape), opacity)
    return _Sprite(_recoloured(colours, dice, 0.25 * hardness), opacity)


def _tint(dice: np.random.Generator) -> Pixels:
    return dice.integers(0, 256, 3).astype(np.float32)


def _turned(
    image: Image.Image, dice: np.random.Generator, hardness: float, size: int
) -> Image.Image:
    """The drawing at its size, turned about its middle and stretched along its axes."""
    wide, high = np.exp(dice.uniform(-_STRETCH, _STRETCH, 2) * hardness)
    angle = dice.uniform(-_TURN, _TURN) * hardness
    cosine, sine, shrink = np.cos(angle), np.sin(angle), DRAWN / size
    if shrink >= 1.6:  # averaged first, so that nothing aliases
        side = int(DRAWN / shrink * 1.5)
        image, shrink = image.resize((side, side), Image.Resampling.BOX), 1.5
    back = np.array([[cosine / wide, sine / wide], [-sine / high, cosine / high]]) * shrink
    corner = np.full(2, image.width / 2) - back @ np.full(2, size / 2)
    map_back = (*back[0], corner[0], *back[1], corner[1])
    return image.transform(
        (size, size), Image.Transform.AFFINE, map_back, Image.Resampling.BILINEAR
    )


def _recoloured(colours: Pixels, dice: np.random.Generator, amount: float) -> Pixels:
    """Hue turned by up to `amount` half circles about the grey axis; contrast and brightness changed as much."""
    turn = dice.uniform(-1, 1) * np.pi * amount
    grey = (1 - np.cos(turn)) / 3
    side = np.sin(turn) / np.sqrt(3)
    own = np.cos(turn) + grey
    matrix = np.array(
        [[own, grey - side, grey + side], [grey + side, own, grey - side], [grey - side, grey + side, own]]
    )  # fmt: skip
    contrast = 1 + amount * dice.uniform(-0.4, 0.4)
    changed: Pixels = colours @ (matrix.T * contrast).astype(np.float32)
    changed += amount * dice.uniform(-40, 40)
    return np.clip(changed, 0, 255)


class _Patch(NamedTuple):
    window: tuple[slice, slice]
    colour: NDArray[np.int64]


def _clutter(look: int, hardness: float) -> Iterator[_Patch]:
    """Small rectangles before everything else."""
    dice = np.random.default_rng([look, 2])
    for _ in range(dice.poisson(_CLUTTER * hardness)):
        x, y = dice.integers(0, SIDE, 2)
        high, wide = dice.integers(2, 9, 2)
        yield _Patch((slice(y, y + high), slice(x, x + wide)), dice.integers(0, 256, 3))
