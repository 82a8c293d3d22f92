"""random-words and other-words: what scores are worth nothing; the words of chance, and those of another neuron."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import torch
from jaxtyping import Int
from torch import Tensor

from clipneuron.engine.stage import Upstream
from clipneuron.explanation.layers import LayerStage
from clipneuron.lens.words.truth import Words
from clipneuron.readers.explanation import layer_words, words_of
from clipneuron.readers.sweep import pool_texts
from clipneuron.store.store import Run


@dataclass(frozen=True, kw_only=True)
class ControlWordsStage(LayerStage):
    """A describer's words dealt out anew: each neuron gets those of another one, or texts of chance for its weights."""

    texts: Upstream
    described: Upstream
    seed: int
    kind: Literal["other-words", "random-words"] = "other-words"

    writes = ("neuron_words",)

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The words, and the pool that texts of chance are drawn from."""
        return (self.described, self.texts)

    @property
    def identity(self) -> Mapping[str, object]:
        """The dice."""
        return {"seed": self.seed, "layers": self.layers}

    def share(self, run: Run) -> list[str]:
        """The texts."""
        return pool_texts(run, self.texts.name)

    def read(self, run: Run, layer: int) -> Words:
        """The words of the layer's neurons."""
        return words_of(run, self.described.name, layer, self.neurons)

    def tables(self, shared: list[str], layer: int, loaded: Words) -> Mapping[str, pa.Table]:
        """The table `neuron_words`."""
        dice = torch.Generator().manual_seed(self.seed * 1000 + layer)
        if self.kind == "other-words":
            other = derangement(self.neurons, dice)
            found = Words(loaded.indices[other], loaded.weights[other])
        else:
            chance = torch.randint(len(shared), loaded.indices.shape, generator=dice)
            found = Words(chance, loaded.weights)
        return {"neuron_words": layer_words(layer, found, shared)}


def derangement(size: int, dice: torch.Generator) -> Int[Tensor, "neuron"]:
    """A permutation without fixed points (for two or more): a cyclic shift along a random order."""
    order = torch.randperm(size, generator=dice)
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return other
