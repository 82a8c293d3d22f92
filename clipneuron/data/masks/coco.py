"""Masks of COCO's annotations, a JSON file with outlines or run lengths of objects (https://cocodataset.org)."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipneuron.data.collections import Collection
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
from clipneuron.data.masks.matching import matched
from clipneuron.data.masks.shapes import pixels_of
from clipneuron.models.clip.preprocessing.files import MAX_PIXELS
from clipneuron.reports.quantities import counted

_PARTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class CocoReader:
    """Draws label maps from annotations, which it holds as text."""

    pictures: Mapping[str, str]
    """What the file says of each picture: its size and annotations as JSON, by the picture's id."""

    def read(self, image: str) -> LabelMap:
        """The label map; raises MaskError for an annotation that is broken.

        Where objects overlap, the label is that of the later one, and the earlier class is covered there. What is
        marked as a crowd is unknown: its outline holds more than the objects.
        """
        if image not in self.pictures:
            raise MaskError("no_mask", f"{image}: there is no usable mask of it")
        said = json.loads(self.pictures[image])
        size = (said["height"], said["width"])
        labels, unknown = np.full(size, BACKGROUND, np.int32), np.zeros(size, np.bool_)
        parts: dict[int, Any] = {}
        for item in said["annotations"]:
            part = _drawn(item, size, image)
            if item.get("iscrowd"):
                unknown |= part
                continue
            value = item["category_id"]
            labels[part] = value
            parts[value] = part | parts.get(value, False)
        covered = {
            v: part & (labels != v) for v, part in parts.items() if (labels[part] != v).any()
        }
        return LabelMap(labels, unknown, covered)


def coco_masks(data: bytes, where: str, pictures: Collection) -> Masks:
    """The masks of a file of annotations, of which no outline is drawn yet; raises ValueError for another file."""
    said = _parsed(data, where)
    names = {entry["id"]: str(entry["name"]) for entry in said["categories"]}
    by_picture = _by_picture(said)
    files = {str(entry["file_name"]): entry for entry in said["images"]}
    matches = matched(pictures.listing["image"].to_pylist(), [*files])
    rows, texts = [], {}
    for image in pictures.listing["image"].to_pylist():
        own = matches.of.get(image, ())
        problem = _problem(image, own, files, by_picture, names)
        if problem:
            rows.append(problem)
            continue
        entry = files[own[0]]
        annotations = by_picture[entry["id"]]
        rows += present(image, _classes(annotations, names))
        kept = [{key: item.get(key) for key in _KEPT} for item in annotations]
        texts[image] = json.dumps(
            {"height": entry["height"], "width": entry["width"], "annotations": kept}
        )
    listing = listed(rows)
    digest = digest_of(listing, pictures.digest, sorted(texts.items()))
    return Masks("COCO annotations", listing, CocoReader(texts), digest, _lonely(matches.lonely))


def _lonely(files: Sequence[str]) -> tuple[str, ...]:
    """What to say of pictures that only the annotations know."""
    if not files:
        return ()
    many = counted(len(files), "pictures of the annotations", "are")
    return (f"{many} not among the pictures, such as {files[0]}",)


_KEPT = ("category_id", "segmentation", "iscrowd")


def _parsed(data: bytes, where: str) -> Mapping[str, Any]:
    try:
        said = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{where} is not JSON, or is cut off: {error}") from error
    if not isinstance(said, dict) or not all(isinstance(said.get(part), list) for part in _PARTS):
        raise ValueError(
            f"{where} is not a file of COCO's annotations: expected an object with the lists {', '.join(_PARTS)}, as "
            "instances_val2017.json has them"
        )
    for part, name in (("images", "file_name"), ("categories", "name")):
        odd = next((entry for entry in said[part] if not _is_entry(entry, name)), None)
        if odd is not None:
            raise ValueError(
                f"{where}: among its {part} is {odd!r:.60}: expected a number as id and a {name} in each"
            )
    return said


def _is_entry(entry: Any, name: str) -> bool:
    """Whether something has a number of 31 bits and a name."""
    return isinstance(entry, dict) and name in entry and _is_id(entry.get("id"))


def _is_id(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**31


def _by_picture(said: Mapping[str, Any]) -> Mapping[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for item in said["annotations"]:
        if isinstance(item, dict) and _is_id(item.get("image_id")):
            found[item["image_id"]].append(item)
    return found


def _problem(
    image: str,
    own: Sequence[str],
    files: Mapping[str, Any],
    by_picture: Mapping[int, list[Any]],
    names: Mapping[int, str],
) -> dict[str, Any] | None:
    """The row of a picture without usable annotations."""
    if not own:
        return unusable(image, "no_mask", f"{image}: the annotations know no picture of this name")
    if len(own) > 1:
        return unusable(
            image, "ambiguous", f"{image}: several pictures of the annotations go with it"
        )
    entry = files[own[0]]
    sides = [entry.get(side) for side in ("height", "width")]
    if not all(isinstance(side, int) and side > 0 for side in sides):
        reason = f"{image}: the annotations have height and width {sides}: expected whole numbers"
        return unusable(image, "corrupt", reason)
    if entry["height"] * entry["width"] > MAX_PIXELS:
        reason = f"{image}: the annotations have a size of {entry['width']} x {entry['height']}"
        return unusable(image, "too_large", reason)
    for item in by_picture.get(entry["id"], ()):
        category = item.get("category_id")
        if not _is_id(category) or category not in names:
            reason = f"{image}: an annotation of the category {category!r:.20}, which has no name"
            return unusable(image, "no_class", reason)
    return None


def _classes(annotations: Iterable[Mapping[str, Any]], names: Mapping[int, str]) -> list[Found]:
    """The classes with the stated areas of their objects, null where one is not stated; crowds are none."""
    areas: dict[int, list[Any]] = defaultdict(list)
    for item in annotations:
        if not item.get("iscrowd"):
            areas[item["category_id"]].append(item.get("area"))
    return [
        Found(names[value], value, round(sum(own)) if all(map(_is_number, own)) else None)
        for value, own in sorted(areas.items())
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _drawn(item: Mapping[str, Any], size: tuple[int, int], image: str) -> Any:
    try:
        return pixels_of(item.get("segmentation"), size)
    except ValueError as error:
        raise MaskError("corrupt", f"{image}: an annotation has {error}") from error
