"""Small pictures with masks of every kind, in folders of their own."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipneuron.data.collections import Collection
from clipneuron.data.masks.maps import Masks
from clipneuron.data.masks.values import voc_palette
from clipneuron.data.opening import open_collection

LABELS = np.array([[0, 0, 3, 3], [0, 5, 3, 3], [0, 5, 5, 0]], np.uint8)
"""Of a picture of 4 x 3 pixels: 3 has four of them and 5 three."""


def encoded(values: NDArray[Any], kind: str = "PNG", *, palette: bool = False) -> bytes:
    """A picture of these values."""
    image = Image.fromarray(values)
    if palette:
        image.putpalette(voc_palette().ravel().tolist())
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def pictures(folder: Path, *names: str, size: tuple[int, int] = (4, 3)) -> Collection:
    """Grey pictures of this width and height under these names."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 90, 7)).save(path)
    return open_collection(folder)


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The files in the folder, which is returned."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def rows(masks: Masks) -> list[tuple[Any, ...]]:
    """What is listed, without reasons."""
    columns = ("image", "class_name", "value", "area", "status")
    return [tuple(row[column] for column in columns) for row in masks.listing.to_pylist()]


def annotations(
    objects: Sequence[Mapping[str, Any]], files: Sequence[str] = ("1.jpg",), **size: int
) -> bytes:
    """A file of COCO's annotations of pictures that are numbered from 0; categories 3 and 5."""
    images = [
        {"id": number, "file_name": name, "height": 3, "width": 4, **size}
        for number, name in enumerate(files)
    ]
    categories = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]
    found = [{"id": number, "image_id": 0, "iscrowd": 0, **o} for number, o in enumerate(objects)]
    return json.dumps({"images": images, "annotations": found, "categories": categories}).encode()
