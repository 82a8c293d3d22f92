"""The truth of words of the tiny world: held-out pictures of three classes, one of them broken."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipneuron.explanation.pipeline import ExplanationLine
from clipneuron.models.clip.model import Clip
from clipneuron.models.painting.painter import Order, Painted
from tests.samples.world import clip, recipe_of, store_in, write_pictures

CLASSES = ("cat", "dog", "tree")
PAINTED = {"painter": "demo", "painted_neurons": 8, "painted_each": 4}
"""So that CoSy's scores are there as well."""


class Tints:
    """A painter of noise of its own for each caption; grass it refuses."""

    name = "tints"

    def paint(self, orders: Sequence[Order]) -> list[Painted]:
        return [self._one(order) for order in orders]

    def _one(self, order: Order) -> Painted:
        if order.caption.endswith("grass"):
            return Painted(reason="no grass")
        dice = np.random.default_rng([order.seed, *order.caption.encode()])
        return Painted(dice.integers(0, 255, (16, 16, 3), np.uint8))


def held_out(folder: Path, each: int = 24) -> Path:
    """So many pictures of each class; 005.png of each is cut off, and fixed but for the first."""
    if folder.exists():
        return folder
    for number, name in enumerate(CLASSES):
        write_pictures(folder / name, each, seed=30 + number)
        if number:
            (folder / name / "005.png").write_bytes((folder / name / "004.png").read_bytes())
    return folder


def line_of(
    folder: Path,
    store: str = "store",
    *,
    asked: dict[str, object] | None = None,
    model: Clip | None = None,
    **options: object,
) -> ExplanationLine:
    """The scores on top of `sweep_of`."""
    explanation = {
        "images": str(held_out(folder / "held out")),
        "share": 0.1,
        "templates": "demo",
        **(asked or {}),
    }
    recipe = recipe_of(folder, **{**options, "explanation": explanation})
    return ExplanationLine.of(recipe, store_in(folder, store), model or clip())
