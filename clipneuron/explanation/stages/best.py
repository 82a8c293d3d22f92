"""best-words: an upper bound of single words. The one that correlates most with what a neuron writes, on `fit`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Upstream
from clipneuron.explanation.layers import LayerStage
from clipneuron.lens.words.truth import Words, best_words
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.explanation import layer_words, pictures_of, truth_of, values_of
from clipneuron.readers.sweep import pool_texts
from clipneuron.store.store import Run


class Known(NamedTuple):
    """The pool, and how much each of its texts is true of each picture."""

    texts: tuple[str, ...]
    degrees: Float[np.ndarray, "text image"]


@dataclass(frozen=True, kw_only=True)
class BestWordsStage(LayerStage):
    """The best single text of the pool by the witness's own word, with its correlation as its weight."""

    texts: Upstream
    projections: Upstream
    witness: tuple[Upstream, ...]
    witness_share: float

    kind = "best-words"
    writes = ("neuron_words",)

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """What neurons write, and what is true of the pictures."""
        return (self.projections, self.texts, *self.witness)

    @property
    def identity(self) -> Mapping[str, object]:
        """Which layers."""
        return {"layers": self.layers}

    def share(self, run: Run) -> Known:
        """What is true of the pictures."""
        images = pictures_of(run, self.projections, self.witness, "fit")
        texts = pool_texts(run, self.texts.name)
        numbers = torch.arange(len(texts))
        truth = truth_of(run, self.witness, self.witness_share, images, numbers)
        return Known(tuple(texts), truth.degrees.numpy())

    def read(self, run: Run, layer: int) -> Float[Tensor, "neuron image"]:
        """What the layer writes on the pictures."""
        images = pictures_of(run, self.projections, self.witness, "fit")
        return values_of(run, self.projections.name, "projections", layer, images)

    def tables(
        self, shared: Known, layer: int, loaded: Float[Tensor, "neuron image"]
    ) -> Mapping[str, pa.Table]:
        """The table `neuron_words`."""
        index, correlation = best_words(loaded, unchanging(shared.degrees))
        words = Words(index[:, None], correlation[:, None])
        return {"neuron_words": layer_words(layer, words, shared.texts)}
