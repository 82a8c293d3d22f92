"""A tiny model and a few pictures, one of them broken, for tests of stages, engine and command line."""

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from clipneuron.engine.runner import Runner
from clipneuron.models.clip import Clip, load_clip
from clipneuron.recipes import Recipe
from clipneuron.storage.objects import Objects
from clipneuron.storage.store import Run, Store
from clipneuron.sweep import Sweep
from tests.towers import tiny_clip

TEXTS = (
    "cat",
    "dog",
    "a red ball",
    "the sea",
    "grass",
    "two birds",
    "night",
    "a car",
    "milk",
    "tree",
)


@cache
def clip() -> Clip:
    return load_clip(tiny_clip(layers=3, width=16, embed=12, image_size=16, patch_size=8))


def write_pictures(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """Pictures of noise, sharper or smoother; number 5 is cut off in the middle."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    for number in range(count):
        size = int(dice.integers(1, 7))
        noise = dice.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((20, 24)).save(folder / f"{number:03d}.png")
    if count > 5:
        broken = folder / "005.png"
        broken.write_bytes(broken.read_bytes()[:60])
    return folder


def sweep_of(
    folder: Path,
    store: str | Objects = "store",
    extends: str = "",
    retry: frozenset[tuple[str, str]] = frozenset(),
    **options: object,
) -> Sweep:
    """The tiny model on pictures in `folder`, which are written there if it is empty; runs go to `store` there."""
    pictures = folder / "pictures"
    if not pictures.exists():
        write_pictures(pictures)
    texts = folder / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    fields = {
        "name": "tiny",
        "model": "in memory",
        "images": str(pictures),
        "pool": str(texts),
        "atoms": 4,
        "top": 5,
        "shard_size": 4,
        "block": 24,
        "batch_size": 3,
    }
    place = Store(folder / store if isinstance(store, str) else store)
    recipe = Recipe(**{**fields, **options})
    return Sweep.of(recipe, place, clip(), extends=extends, retry=retry)


def quiet_runner(**options: object) -> Runner:
    """The in-process runner, without its progress."""
    return Runner(console=Console(file=io.StringIO()), **options)


def finished(folder: Path, store: str = "store", **options: object) -> tuple[Sweep, Run]:
    """A complete run."""
    sweep = sweep_of(folder, store, **options)
    run, _ = sweep.run(quiet_runner())
    return sweep, run
