"""The built-in demo world: rendered scenes with captions, and a CLIP that was trained on them."""

from pathlib import Path

from clipneuron.demo.backgrounds import BACKGROUNDS, SIDE
from clipneuron.demo.captions import caption, mentions, pool, scene_from_caption
from clipneuron.demo.collection import read_collection, write_collection
from clipneuron.demo.pictures import masks, render
from clipneuron.demo.scenes import (
    HELD_OUT_SEEDS,
    TRAINING_SEEDS,
    Placed,
    Scene,
    class_of,
    contents,
    counts,
    sample_scene,
)
from clipneuron.demo.things import BIASES, CLASSES, THINGS, Thing, thing

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of the demo model: open_clip configuration, weights, vocabulary and model card."""

CAVEAT = "the demo model is a small CLIP of rendered scenes: its figures say nothing about CLIP"
"""Goes with every report on the demo model."""

__all__ = [
    "BACKGROUNDS",
    "BIASES",
    "CAVEAT",
    "CLASSES",
    "HELD_OUT_SEEDS",
    "SIDE",
    "THINGS",
    "TRAINING_SEEDS",
    "WEIGHTS",
    "Placed",
    "Scene",
    "Thing",
    "caption",
    "class_of",
    "contents",
    "counts",
    "masks",
    "mentions",
    "pool",
    "read_collection",
    "render",
    "sample_scene",
    "scene_from_caption",
    "thing",
    "write_collection",
]
