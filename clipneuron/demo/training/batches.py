"""Batches of scenes and texts, and which text is true of which scene: the data that the model is trained on.

Everything is drawn from (seed, step), so a resumed run sees the same data as an uninterrupted one.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from clipneuron.demo.backgrounds import BACKGROUNDS, PHRASES
from clipneuron.demo.captions import claims, listed, noun_phrase, true_of
from clipneuron.demo.pictures import render
from clipneuron.demo.scenes import Scene, counts, sample_scene
from clipneuron.demo.things import THINGS
from clipneuron.demo.training.vocabulary import world_words

LABELS = tuple(thing.name for thing in THINGS) + BACKGROUNDS
"""The labels of a picture: things, then backgrounds."""

_COLUMN = {name: column for column, name in enumerate(LABELS)}

TEMPLATES = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a photo of a {}.",
    "a photo of the {}.",
    "a picture of a {}",
    "an image of a {}",
    "a photo of {}",
    "a drawing of a {}",
    "there is a {}",
    "a good photo of a {}.",
    "a bad photo of a {}.",
    "a blurry photo of a {}.",
    "a close-up photo of a {}.",
    "a low contrast photo of a {}.",
    "a high contrast photo of a {}.",
    "a photo of a small {}.",
    "a photo of a big {}.",
    "a photo of one {}.",
)
"""Templates for labels in training, among them those of zero-shot classification."""

_OPENINGS = ("", "", "", "a photo of ", "a picture of ", "an image of ", "there is ")


@dataclass(frozen=True)
class TrainingBatch:
    """Pictures, texts, and which text is true of which picture."""

    pictures: NDArray[np.uint8]
    """[picture, 64, 64, 3]."""
    labels: NDArray[np.bool_]
    """[picture, label]: whether each of `LABELS` is true."""
    names: list[str]
    """Every label in a random template; then common English words that are true of nothing."""
    captions: list[str]
    """One for every second picture, describing part of it."""
    truth: NDArray[np.bool_]
    """[picture, caption]: whether each caption is true of each picture."""


def draw(
    seed: int, step: int, pictures: int, strangers: int = 24, biased_share: float = 0.7
) -> TrainingBatch:
    """The batch of a step; its scenes have seeds that no other step or seed of a run has."""
    if (step + 1) * pictures > 1 << 32:
        raise ValueError(f"a run has {1 << 32} scenes; step {step} of {pictures} goes beyond")
    dice = np.random.default_rng([seed, step])
    first = (seed << 32) + step * pictures
    biased = dice.random(pictures) < biased_share
    scenes = [sample_scene(first + i, biased=bool(biased[i])) for i in range(pictures)]
    captions = [remark(scene, dice) for scene in scenes[::2]]
    return TrainingBatch(
        pictures=np.stack([render(scene) for scene in scenes]),
        labels=count_table(scenes) > 0,
        names=[_worded(label, dice) for label in LABELS] + _strangers(dice, strangers),
        captions=captions,
        truth=truth_table(scenes, captions),
    )


def count_table(scenes: list[Scene]) -> NDArray[np.int64]:
    """How often each label is in each scene, [scene, label]."""
    table = np.zeros((len(scenes), len(LABELS)), dtype=np.int64)
    for row, scene in enumerate(scenes):
        table[row, _COLUMN[scene.background]] = 1
        for name, number in counts(scene).items():
            table[row, _COLUMN[name]] = number
    return table


def truth_table(scenes: list[Scene], texts: list[str]) -> NDArray[np.bool_]:
    """`mentions(text, scene)` for every pair, [scene, text]."""
    seen = count_table(scenes)
    truth = np.zeros((len(scenes), len(texts)), dtype=np.bool_)
    for column, text in enumerate(texts):
        claimed = claims(text)
        held = [
            np.isin(seen[:, _COLUMN[name]], [n for n in range(1, 9) if true_of(n, number)])
            for name, number in claimed.things
        ]
        held += [seen[:, _COLUMN[name]] > 0 for name in claimed.backgrounds]
        if held:
            truth[:, column] = np.logical_and.reduce(held)
    return truth


def remark(scene: Scene, dice: np.random.Generator) -> str:
    """A caption of a random part of the scene: one or more things, perhaps the background."""
    seen = counts(scene)
    names = list(dice.permutation(list(seen)))[: dice.integers(1, len(seen) + 1)]
    phrases = [noun_phrase(name, seen[name] if dice.random() < 0.8 else 1) for name in names]
    text = _OPENINGS[dice.integers(len(_OPENINGS))] + listed(phrases)
    return f"{text} {PHRASES[scene.background]}" if dice.random() < 0.5 else text


def _worded(label: str, dice: np.random.Generator) -> str:
    """The label, or another name of the thing, in a random template."""
    name = label
    if label not in PHRASES:
        others = THINGS[_COLUMN[label]].aliases
        if others and dice.random() < 0.25:
            name = others[dice.integers(len(others))]
    elif dice.random() < 0.3:
        return PHRASES[label]
    text = TEMPLATES[dice.integers(len(TEMPLATES))].format(name)
    return text.replace(" a " + name, " an " + name) if name[0] in "aeio" else text


def _strangers(dice: np.random.Generator, count: int) -> list[str]:
    """Random English words that are true of no picture."""
    words = _foreign_words()
    return [words[i] for i in dice.integers(0, len(words), count)]


@cache
def _foreign_words() -> tuple[str, ...]:
    """Common English words that name nothing in the demo world."""
    from wordfreq import top_n_list  # takes a second to import

    known = world_words()
    return tuple(w for w in top_n_list("en", 8000) if w.isalpha() and w not in known)
