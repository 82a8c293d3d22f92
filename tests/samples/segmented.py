"""Pictures with masks of the tiny world: values 1 and 2 are cat and dog; one picture is cut off, and one mask."""

from pathlib import Path

import numpy as np
from PIL import Image

from clipneuron.models.clip.model import Clip
from clipneuron.segmentation.pipeline import SegmentationLine
from tests.samples.world import clip, recipe_of, store_in, write_pictures

METHODS = (
    "second-order",
    "second-order-signed",
    "gradcam",
    "lrp",
    "textspan-centered",
    "center",
    "random-neurons",
)
"""Of every kind of need and choice."""


def write_masks(folder: Path) -> Path:
    """Masks of `write_pictures`: cats at the left, in every third picture a dog at the right as well.

    007.png has no mask, 008.png an empty one, 009.png half of one; dogs of 010.png lie outside of what models see.
    """
    folder.mkdir(parents=True)
    for number in range(12):
        mask = np.zeros((24, 20), np.uint8)
        mask[4:20, : 4 + number] = 1
        if number % 3 == 0:
            mask[2:12, 16:] = 2
        if number == 4:
            mask[10:14] = 255
        if number == 8:
            mask[:] = 0
        if number == 10:
            mask[0, :] = 2
        if number != 7:
            Image.fromarray(mask).save(folder / f"{number:03d}.png")
    return folder


def line_of(
    folder: Path,
    store: str = "store",
    *,
    asked: dict[str, object] | None = None,
    model: Clip | None = None,
    **options: object,
) -> SegmentationLine:
    """The matrix on top of `sweep_of`."""
    if not (folder / "photos").exists():
        write_pictures(folder / "photos", 12, seed=40)
        broken = write_masks(folder / "masks") / "009.png"
        (folder / "names.csv").write_text("1,cat\n2,dog\n")
        (folder / "classes.txt").write_text("cat\ndog\ntree\n")
        broken.write_bytes(broken.read_bytes()[:60])
    segmentation = {
        "images": str(folder / "photos"),
        "masks": str(folder / "masks"),
        "mask_names": str(folder / "names.csv"),
        "classes": str(folder / "classes.txt"),
        "templates": "demo",
        "methods": METHODS,
        "neurons_per_class": 6,
        "neuron_layers": (0, 1),
        **(asked or {}),
    }
    recipe = recipe_of(folder, **{**options, "segmentation": segmentation})
    return SegmentationLine.of(recipe, store_in(folder, store), model or clip())
