"""The exact masks of the demo world's scenes: which pixels show which thing."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from clipneuron.data.collections import Collection
from clipneuron.data.files import Span
from clipneuron.data.masks.maps import (
    BACKGROUND,
    Found,
    LabelMap,
    MaskError,
    Masks,
    digest_of,
    listed,
    present,
    unusable,
)
from clipneuron.demo.backgrounds import SIDE
from clipneuron.demo.collection import CONTENTS, scene_from_plain
from clipneuron.demo.pictures import WORLD, masks
from clipneuron.demo.scenes import Scene
from clipneuron.demo.things import THINGS

VALUES = {item.name: value for value, item in enumerate(THINGS, 1)}
"""The value of each thing in label maps."""


@dataclass(frozen=True)
class SceneReader:
    """Draws the masks of scenes, which it holds as text."""

    scenes: Mapping[str, str]
    """The scene of each picture as JSON, by the picture's id."""

    def read(self, image: str) -> LabelMap:
        """The label map: of every thing what neither other things nor clutter hide; raises MaskError."""
        if image not in self.scenes:
            raise MaskError("no_mask", f"{image}: the demo world has no record of its scene")
        parts = visible(scene_from_plain(json.loads(self.scenes[image])))
        labels = np.full((SIDE, SIDE), BACKGROUND, np.int32)
        for name, part in parts.items():
            labels[part] = VALUES[name]
        return LabelMap(labels, np.zeros(labels.shape, np.bool_))


def scene_masks(pictures: Collection) -> Masks:
    """The masks of a written collection of scenes, of which each thing that can be seen is a class.

    Raises ValueError for other pictures: they have no record of their scenes.
    """
    images = pictures.listing["image"].to_pylist()
    scenes = _scenes(pictures, {*images})
    rows: list[Mapping[str, Any]] = []
    for image in images:
        if image not in scenes:
            rows.append(unusable(image, "no_mask", f"{image}: there is no record of its scene"))
            continue
        parts = visible(scene_from_plain(json.loads(scenes[image])))
        areas = ((name, int(part.sum())) for name, part in parts.items())
        rows += present(image, (Found(name, VALUES[name], area) for name, area in areas if area))
    listing = listed(rows)
    digest = digest_of(listing, WORLD, sorted(scenes.items()))
    return Masks("scenes of the demo world", listing, SceneReader(scenes), digest)


def visible(scene: Scene) -> dict[str, Bool[np.ndarray, "height width"]]:
    """The pixels that show each thing of a scene, by its name, all its drawings together."""
    parts: dict[str, Any] = defaultdict(lambda: False)
    for placed, part in zip(scene.objects, masks(scene), strict=True):
        parts[placed.thing.name] = parts[placed.thing.name] | part
    return dict(parts)


def _scenes(pictures: Collection, images: Iterable[str]) -> dict[str, str]:
    files = pictures.reader.files
    place = files.location(CONTENTS)
    try:
        records = map(json.loads, files.read(Span(CONTENTS)).splitlines())
        found = {r["image"]: json.dumps(r["scene"]) for r in records if r["image"] in images}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"the exact masks of the demo world are those of its scenes, and {place} has no record of them: expected "
            f"pictures that `demo` renders ({error})"
        ) from error
    return found
