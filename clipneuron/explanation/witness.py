"""Witnesses that need no model: which texts are true of which pictures, by what people or programs wrote down."""

from collections.abc import Mapping, Sequence

import numpy as np

from clipneuron.data.collections import Picture
from clipneuron.demo.collection import scene_seed
from clipneuron.demo.scenes import sample_scene
from clipneuron.models.language.naming import NameIndex


def scenes(seed: int, texts: Sequence[str], pictures: Sequence[Picture]) -> list[list[int]]:
    """By the demo world's scenes: a text is true where all that it claims holds. They are drawn again, not read."""
    from clipneuron.demo.training.batches import truth_table

    drawn = [
        sample_scene(scene_seed(seed, int(picture.image.partition(".")[0])), biased=True)
        for picture in pictures
    ]
    return [np.flatnonzero(row).tolist() for row in truth_table(drawn, list(texts))]


def labels(
    terms: Mapping[str, tuple[str, ...]], texts: Sequence[str], pictures: Sequence[Picture]
) -> list[list[int]]:
    """By classes: a text is true where it is the class's name, or another of its terms, in any form of the word."""
    index = NameIndex(texts)
    true_of = {
        name: sorted(set().union(*(index.equal(term) for term in own)))
        for name, own in terms.items()
    }
    return [true_of.get(picture.label_name or "", []) for picture in pictures]


def tags(
    told: Mapping[str, str | tuple[str, ...]], texts: Sequence[str], pictures: Sequence[Picture]
) -> list[list[int]]:
    """By captions or tags: a text is true where it stands in the caption as a word, or is a tag."""
    index = NameIndex(texts)
    return [sorted(_true_of(index, told.get(picture.image, ()))) for picture in pictures]


def _true_of(index: NameIndex, said: str | tuple[str, ...]) -> set[int]:
    if isinstance(said, str):
        return index.within(said)
    return set().union(*(index.equal(tag) for tag in said))
