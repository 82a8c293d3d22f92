"""output-scores: do words say which classes' logits a neuron moves? Checked against its mean effect where it acts."""

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
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.options import Preparation
from clipneuron.lens.projections import mean_effects as mean_acting_effects
from clipneuron.lens.scores.metrics import spearman
from clipneuron.lens.words.truth import Words
from clipneuron.readers.arrow import neuron_columns, table_of, tensor, unchanging
from clipneuron.readers.evidence import classifier_of
from clipneuron.readers.explanation import BLOCK, words_of
from clipneuron.readers.lenses import ClipLoader, Lenses
from clipneuron.readers.sweep import MeanEffect, mean_effects, prepared_texts
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables


class Known(NamedTuple):
    """What all layers need, as arrays."""

    classifier: Float[np.ndarray, "class embed"]
    texts: Float[np.ndarray, "text embed"]
    means: dict[int, MeanEffect]


class Acting(NamedTuple):
    """Sums over the pictures on which the neurons of a layer act, and their words by describer."""

    counts: Tensor
    coefficients: Tensor
    remainders: Tensor
    words: Mapping[str, Words]


@dataclass(frozen=True, kw_only=True)
class OutputScoresStage(LayerStage):
    """Ranks the classes by what the words say and by what neurons do to the logits."""

    clip: ClipLoader
    lenses: Lenses
    means: Upstream
    projections: Upstream
    classifier: Upstream
    texts: Upstream
    preparation: Preparation
    describers: Mapping[str, Upstream]

    kind = "output-scores"
    writes = ("output_scores",)

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The effects, the classes and the words."""
        own = (self.means, self.projections, self.classifier, self.texts)
        return (*own, *self.describers.values())

    @property
    def identity(self) -> Mapping[str, object]:
        """The describers in their order."""
        names = [*self.describers]
        return {"describers": names, "preparation": self.preparation, "layers": self.layers}

    def share(self, run: Run) -> Known:
        """The classes, the texts and the mean effects, whose axes remainders are along."""
        return Known(
            classifier_of(run, self.classifier.name).matrix,
            prepared_texts(run, self.texts.name, self.preparation).matrix,
            mean_effects(run, self.means.name, self.lenses.layers),
        )

    def read(self, run: Run, layer: int) -> Acting:
        """The sums of a layer over all shards."""
        own = [("layer", "==", layer)]
        rows = run.read(self.projections.name, "acting_effects", filters=own)
        neuron = tensor(rows["neuron"]).long()
        sums = (tensor(rows[name]).double() for name in ("count", "coefficients", "coordinates"))
        counts, coefficients, remainders = (
            values.new_zeros(self.neurons, *values.shape[1:]).index_add_(0, neuron, values)
            for values in sums
        )
        words = {
            name: words_of(run, stage.name, layer, self.neurons)
            for name, stage in self.describers.items()
        }
        return Acting(counts, coefficients, remainders, words)

    def tables(self, shared: Known, layer: int, loaded: Acting) -> Mapping[str, pa.Table]:
        """The table `output_scores`."""
        clip = self.clip()
        wide = SecondOrderLens(
            clip, layer, split=self.lenses.split, normalize=self.lenses.normalize
        )
        lens, _ = shared.means[layer].outside(wide)
        classes, texts = unchanging(shared.classifier), unchanging(shared.texts)
        found: dict[str, list[Tensor]] = {name: [] for name in loaded.words}
        with torch.inference_mode():
            for first in range(0, self.neurons, BLOCK):
                block = slice(first, min(first + BLOCK, self.neurons))
                moved = self._moved(lens, loaded, block) @ classes.T
                for name, words in loaded.words.items():
                    weights = words.weights[block, None]
                    said = (weights @ texts[words.indices[block]])[:, 0] @ classes.T
                    found[name].append(spearman(said, moved))
        parts = [
            self._table(layer, name, loaded.counts, torch.cat(values))
            for name, values in found.items()
        ]
        return {"output_scores": pa.concat_tables(parts)}

    def _moved(
        self, lens: SecondOrderLens, loaded: Acting, block: slice
    ) -> Float[Tensor, "neuron embed"]:
        sums = (loaded.counts[block], loaded.coefficients[block], loaded.remainders[block])
        return mean_acting_effects(*sums, lens.basis(block), lens.remainder_basis).float().cpu()

    def _table(self, layer: int, name: str, counts: Tensor, found: Tensor) -> pa.Table:
        columns = {
            **neuron_columns(layer, 0, self.neurons),
            "describer": pa.array([name] * self.neurons, pa.string()),
            "count": counts.long().numpy(),
            "rank_correlation": found.masked_fill(counts == 0, torch.nan).float().numpy(),
        }
        return table_of(columns, tables.schema("output_scores"))
