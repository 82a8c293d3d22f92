"""Folders with pictures of held-out scenes, and a record of the contents of each."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from clipneuron.demo.captions import caption
from clipneuron.demo.pictures import render
from clipneuron.demo.scenes import (
    HELD_OUT_SEEDS,
    Placed,
    Scene,
    arranged,
    class_of,
    contents,
    sample_scene,
)
from clipneuron.demo.things import THINGS, thing

LARGEST = 1_000_000
"""The most pictures in a collection: collections of different seeds share no scene seed."""

CONTENTS = "contents.jsonl"
"""The file of records in a collection's folder, one line per picture."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One picture of a collection."""

    image: str
    """File name in the folder."""
    caption: str
    label: str
    """The class if exactly one of the ten is in the picture, otherwise ""; for `write_things`, the thing."""
    contents: tuple[str, ...]
    """Sorted names of the things in it and of its background."""
    background: str
    seed: int
    scene: Scene


def scene_seed(seed: int, index: int) -> int:
    """The seed of picture `index` in the collection of a seed: always a held-out one."""
    if not 0 <= index < LARGEST:
        raise ValueError(f"a collection has pictures 0 to {LARGEST - 1}, not {index}")
    held_out = HELD_OUT_SEEDS.start + seed * LARGEST + index
    # The upper half of the held-out seeds belongs to `evaluate`.
    if not HELD_OUT_SEEDS.start <= held_out < HELD_OUT_SEEDS.start + len(HELD_OUT_SEEDS) // 2:
        raise ValueError(f"the seed of a collection is 0 to {(1 << 39) // LARGEST - 1}, not {seed}")
    return held_out


def write_collection(directory: Path, count: int, seed: int, biased: bool) -> None:
    """Write pictures `000000.png` ... of held-out scenes and their records to the directory.

    Writing the same collection again gives the same bytes.
    """
    scenes = (sample_scene(scene_seed(seed, index), biased) for index in range(count))
    _write(directory, seed, ((scene, class_of(scene)) for scene in scenes))


def write_things(directory: Path, count: int, seed: int) -> None:
    """The same for scenes of one thing each, labelled with its name: all things in turn, on any background."""
    names = [THINGS[index % len(THINGS)].name for index in range(count)]
    seeds = [scene_seed(seed, index) for index in range(count)]
    scenes = (arranged("", {name: 1}, own) for name, own in zip(names, seeds, strict=True))
    _write(directory, seed, zip(scenes, names, strict=True))


def read_collection(directory: Path) -> list[Record]:
    """The records of a written collection, in order."""
    with (directory / CONTENTS).open(encoding="utf-8") as lines:
        return [_record(json.loads(line)) for line in lines]


def scene_from_plain(plain: dict[str, Any]) -> Scene:
    """The scene from its plain form (see `plain_scene`)."""
    objects = [{**placed, "thing": thing(placed["thing"])} for placed in plain["objects"]]
    placed = tuple(Placed(**each) for each in objects)
    return Scene(plain["background"], placed, plain["variant"], plain["look"])


def plain_scene(scene: Scene) -> dict[str, Any]:
    """The scene in a form for JSON, its things by name."""
    objects = [{**vars(placed), "thing": placed.thing.name} for placed in scene.objects]
    return {
        "background": scene.background,
        "variant": scene.variant,
        "look": scene.look,
        "objects": objects,
    }


def _write(directory: Path, seed: int, scenes: Iterable[tuple[Scene, str]]) -> None:
    """Write the pictures of labelled scenes, and their records."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / CONTENTS).open("w", encoding="utf-8") as lines:
        for index, (scene, label) in enumerate(scenes):
            name = f"{index:06d}.png"
            Image.fromarray(render(scene)).save(directory / name, compress_level=1)
            lines.write(json.dumps(_line(name, scene_seed(seed, index), scene, label)) + "\n")


def _line(name: str, seed: int, scene: Scene, label: str) -> dict[str, Any]:
    """The record of one picture, for its line."""
    return {
        "image": name,
        "caption": caption(scene, seed),
        "label": label,
        "contents": sorted(contents(scene)),
        "background": scene.background,
        "seed": seed,
        "scene": plain_scene(scene),
    }


def _record(line: dict[str, Any]) -> Record:
    """The record of one line."""
    held = tuple(line["contents"])
    return Record(**{**line, "contents": held, "scene": scene_from_plain(line["scene"])})
