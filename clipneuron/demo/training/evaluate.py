"""How well a CLIP knows the demo world, measured on held-out scenes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.demo.captions import caption
from clipneuron.demo.pictures import render
from clipneuron.demo.scenes import HELD_OUT_SEEDS, Scene, arranged, class_of, sample_scene
from clipneuron.demo.things import BIASES, CLASSES, THINGS
from clipneuron.demo.training.batches import LABELS, count_table
from clipneuron.demo.training.learner import pixels
from clipneuron.lens.scores.metrics import r_precision

PROMPTS = ("a photo of a {}.", "a picture of a {}", "a {}")
"""Averaged per class in zero-shot classification."""

_START = HELD_OUT_SEEDS.start + (1 << 39)
"""Evaluation scenes start here in the held-out seeds, apart from written collections."""


def held_out_scenes(count: int, biased: bool, of_a_class: bool) -> list[Scene]:
    """The first held-out scenes; on request only those with exactly one of the ten classes."""
    return list(_held_out(count, biased, of_a_class))


def _held_out(count: int, biased: bool, of_a_class: bool) -> Iterator[Scene]:
    """See `held_out_scenes`."""
    seed = _START
    while count:
        scene = sample_scene(seed, biased)
        seed += 1
        if class_of(scene) or not of_a_class:
            count -= 1
            yield scene


@torch.inference_mode()
def encode_scenes(model: Any, scenes: Sequence[Scene]) -> Tensor:
    """Unit embeddings of the pictures, [scene, dimension]."""
    parts = []
    for first in range(0, len(scenes), 128):
        pictures = np.stack([render(scene) for scene in scenes[first : first + 128]])
        parts.append(model.encode_image(pixels(pictures), normalize=True))
    return torch.cat(parts)


@torch.inference_mode()
def encode_texts(model: Any, tokenizer: Any, texts: list[str]) -> Tensor:
    """Unit embeddings of the texts, [text, dimension]."""
    parts = [tokenizer(texts[first : first + 256]) for first in range(0, len(texts), 256)]
    return torch.cat([model.encode_text(part, normalize=True) for part in parts])


def classify(model: Any, tokenizer: Any, scenes: Sequence[Scene]) -> list[str]:
    """The class of each scene, by zero-shot classification among the ten."""
    embeddings = [
        encode_texts(model, tokenizer, [prompt.format(name) for name in CLASSES])
        for prompt in PROMPTS
    ]
    heads = normalize(torch.stack(embeddings).mean(0), dim=-1)
    best = (encode_scenes(model, scenes) @ heads.T).argmax(1).tolist()
    return [CLASSES[index] for index in best]


def decoys(each: int) -> tuple[list[str], list[Scene]]:
    """Classes, and scenes with the odd companion of each but none of the ten classes."""
    others = [thing.name for thing in THINGS if thing.name not in CLASSES]
    dice = np.random.default_rng(_START)
    owners, scenes = [], []
    for owner in CLASSES:
        odd = BIASES[owner].things[-1]
        for _ in range(each):
            crowd = {odd: 1, others[dice.integers(len(others))]: 1}
            owners.append(owner)
            scenes.append(arranged("", crowd, int(dice.integers(1 << 40))))
    return owners, scenes


def report(model: Any, tokenizer: Any, count: int = 2000) -> dict[str, float]:
    """The figures of the model card, over `count` held-out scenes each."""
    figures = {}
    for name, biased in (("unbiased", False), ("biased", True)):
        scenes = held_out_scenes(count, biased, of_a_class=True)
        right = zip(classify(model, tokenizer, scenes), map(class_of, scenes), strict=True)
        figures[f"zero-shot accuracy, {name} scenes"] = float(np.mean([a == b for a, b in right]))
    owners, scenes = decoys(each=count // 10)
    right = zip(classify(model, tokenizer, scenes), owners, strict=True)
    figures["decoys classified as the class of their odd thing"] = float(
        np.mean([a == b for a, b in right])
    )
    return figures | _retrieval(model, tokenizer, held_out_scenes(count, False, False))


def _retrieval(model: Any, tokenizer: Any, scenes: list[Scene]) -> dict[str, float]:
    """How well the words and captions of unbiased scenes are ranked."""
    pictures = encode_scenes(model, scenes)
    names = encode_texts(model, tokenizer, [f"a photo of a {name}" for name in LABELS])
    scores = (pictures @ names.T).double()
    truth = torch.from_numpy(count_table(scenes) > 0)
    things = len(THINGS)
    captions = encode_texts(model, tokenizer, [caption(scene) for scene in scenes])
    first = [
        int((pictures[i : i + 100] @ captions[i : i + 100].T).argmax(1)[0])
        for i in range(len(scenes) - 99)
    ]
    return {
        "R-precision over all things": float(
            r_precision(scores[:, :things], truth[:, :things]).mean()
        ),
        "background accuracy": float(r_precision(scores[:, things:], truth[:, things:]).mean()),
        "caption found among 100": float(np.mean([best == 0 for best in first])),
    }
