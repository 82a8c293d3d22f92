"""A tiny model and a few pictures, one of them broken, for tests of stages, engine and command line."""

import io
import shutil
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from clipneuron.config.recipe import Recipe
from clipneuron.engine.runner import Runner
from clipneuron.evidence.pipeline import Reproduction
from clipneuron.models.clip.model import Clip, load_clip
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.store import Run, Store
from clipneuron.sweep.pipeline import Sweep
from tests.samples.towers import tiny_clip

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


TOWER = {"layers": 3, "width": 16, "embed": 12, "image_size": 16, "patch_size": 8}


@cache
def clip() -> Clip:
    return load_clip(tiny_clip(**TOWER))


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


def write_labelled(folder: Path) -> Path:
    """Four pictures of each of three classes, a folder each; 005.png of the second is cut off."""
    for number, name in enumerate(("bird", "cat", "sea")):
        write_pictures(folder / name, 4, seed=10 + number)
    write_pictures(folder / "all", 6, seed=20)
    (folder / "all" / "005.png").rename(folder / "cat" / "005.png")
    shutil.rmtree(folder / "all")
    return folder


def recipe_of(folder: Path, **options: object) -> Recipe:
    """What to compute with the tiny model on pictures in `folder`, which are written there if it is empty."""
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
    return Recipe(**{**fields, **options})


def store_in(folder: Path, store: str | Objects) -> Store:
    """The store of this name in the folder, or the one on these objects."""
    return Store(folder / store if isinstance(store, str) else store)


def sweep_of(
    folder: Path,
    store: str | Objects = "store",
    extends: str = "",
    retry: frozenset[tuple[str, str]] = frozenset(),
    **options: object,
) -> Sweep:
    """The sweep of `recipe_of`; runs go to `store` in the folder."""
    recipe = recipe_of(folder, **options)
    return Sweep.of(recipe, store_in(folder, store), clip(), extends=extends, retry=retry)


def reproduction_of(
    folder: Path,
    store: str | Objects = "store",
    *,
    asked: object = None,
    model: Clip | None = None,
    **options: object,
) -> Reproduction:
    """The evidence on top of `sweep_of`: three classes of four pictures and a broken one, two pools of texts."""
    labelled = folder / "labelled"
    if not labelled.exists():
        write_labelled(labelled)
    (folder / "colours.txt").write_text("red\ngreen\nblue\ngrey\nblack")
    evaluation = {
        "images": str(labelled),
        "templates": "demo",
        "pools": (str(folder / "texts.txt"), str(folder / "colours.txt")),
        "sizes": (1, 3),
        "indirect_neurons": 3,
        "indirect_images": 6,
        **(asked or {}),
    }
    recipe = recipe_of(folder, **{**options, "evaluation": evaluation})
    return Reproduction.of(recipe, store_in(folder, store), model or clip())


def quiet_runner(**options: object) -> Runner:
    """The in-process runner, without its progress."""
    return Runner(console=Console(file=io.StringIO()), **options)


def finished(folder: Path, store: str = "store", **options: object) -> tuple[Sweep, Run]:
    """A complete run."""
    sweep = sweep_of(folder, store, **options)
    run, _ = sweep.run(quiet_runner())
    return sweep, run


def copied(run: Run, objects: Objects) -> Run:
    """A complete run in another place: a request per object in place of the run's own."""
    for key in run.objects.list(""):
        objects.put(f"{run.name}/{key}", run.objects.get(key))
    return Store(objects).find_run(run.name)
