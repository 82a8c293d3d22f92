"""dissected-words: CLIP-Dissect's word for every neuron, from its activations on the held-out pictures' half `fit`."""

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
from clipneuron.lens.words.dissection import similarities, soft_wpmi
from clipneuron.lens.words.truth import Words
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.explanation import embeddings_of, layer_words, pictures_of, values_of
from clipneuron.readers.sweep import prepared_texts
from clipneuron.store.store import Run

TOP = 100
"""Pictures that a word is chosen by, as in the authors' program; at most a tenth of those there are."""


class Probed(NamedTuple):
    """The pool and the pictures that neurons are probed with."""

    words: tuple[str, ...]
    probabilities: Float[np.ndarray, "image text"]


@dataclass(frozen=True, kw_only=True)
class DissectedWordsStage(LayerStage):
    """The text of the greatest soft WPMI, of weight 1."""

    texts: Upstream
    projections: Upstream
    witness: tuple[Upstream, ...]
    """Whose pictures are taken, so that all describers see the same ones."""

    kind = "dissected-words"
    writes = ("neuron_words",)

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The activations and the encoded pool."""
        return (self.projections, self.texts, *self.witness)

    @property
    def identity(self) -> Mapping[str, object]:
        """Which layers."""
        return {"layers": self.layers}

    def share(self, run: Run) -> Probed:
        """The model's own similarities of pictures and texts."""
        images = pictures_of(run, self.projections, self.witness, "fit")
        units = prepared_texts(run, self.texts.name, "unit")
        seen = embeddings_of(run, self.projections.name, "projections", images)
        probabilities = similarities(seen, unchanging(units.matrix))
        return Probed(units.words, probabilities.numpy())

    def read(self, run: Run, layer: int) -> Float[Tensor, "image neuron"]:
        """How active the layer's neurons are on the pictures."""
        images = pictures_of(run, self.projections, self.witness, "fit")
        return values_of(run, self.projections.name, "patch_activations", layer, images).T

    def tables(
        self, shared: Probed, layer: int, loaded: Float[Tensor, "image neuron"]
    ) -> Mapping[str, pa.Table]:
        """The table `neuron_words`."""
        top = min(TOP, max(1, len(loaded) // 10))
        wpmi = soft_wpmi(loaded, unchanging(shared.probabilities), top)
        best = wpmi.argmax(1, keepdim=True)
        words = Words(best, torch.ones(len(best), 1))
        return {"neuron_words": layer_words(layer, words, shared.words)}
