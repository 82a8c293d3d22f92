"""scores: how true the words of every describer are, on the half `score` of the held-out pictures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Upstream
from clipneuron.explanation.layers import LayerStage
from clipneuron.lens.words.truth import Ranking, Score, Scores, Truth, Words, scores
from clipneuron.readers.arrow import neuron_columns, table_of
from clipneuron.readers.explanation import BLOCK, pictures_of, truth_of, values_of, words_of
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables


@dataclass(frozen=True)
class Read:
    """What a layer writes, the words of its neurons by describer, and what is true of the texts among them."""

    written: Float[Tensor, "neuron image"]
    words: Mapping[str, Words]
    """Their indices are rows of the truth."""
    truth: Truth


@dataclass(frozen=True, kw_only=True)
class ScoresStage(LayerStage):
    """Scores all describers of a layer; one sort of what its neurons write serves them all."""

    projections: Upstream
    witness: tuple[Upstream, ...]
    by: str
    describers: Mapping[str, Upstream]
    """Stages with the table `neuron_words`, by the describer's name."""
    top_share: float
    """Of the pictures: those that a neuron counts as writing much on."""
    witness_share: float
    """Of the pictures that a text counts as true of, where the witness only knows similarities."""

    kind = "scores"
    writes = ("scores",)

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """What neurons write, what is true, and the words."""
        return (self.projections, *self.witness, *self.describers.values())

    @property
    def identity(self) -> Mapping[str, object]:
        """The describers in their order, and the shares."""
        shares = {"share": self.top_share, "witness_share": self.witness_share}
        return {"describers": [*self.describers], **shares, "layers": self.layers}

    def read(self, run: Run, layer: int) -> Read:
        """The tables of a layer."""
        images = pictures_of(run, self.projections, self.witness, "score")
        words = {
            name: words_of(run, stage.name, layer, self.neurons)
            for name, stage in self.describers.items()
        }
        used = torch.unique(torch.cat([item.indices.flatten() for item in words.values()]))
        placed = {
            name: Words(torch.searchsorted(used, item.indices), item.weights)
            for name, item in words.items()
        }
        truth = truth_of(run, self.witness, self.witness_share, images, used)
        written = values_of(run, self.projections.name, "projections", layer, images)
        return Read(written, placed, truth)

    def tables(self, shared: None, layer: int, loaded: Read) -> Mapping[str, pa.Table]:
        """The table `scores`."""
        parts = list(self._blocks(layer, loaded))
        found = pa.concat_tables(parts)
        order = [("describer", "ascending"), ("neuron", "ascending")]
        return {"scores": found.sort_by(order).combine_chunks()}

    def _blocks(self, layer: int, loaded: Read) -> Iterator[pa.Table]:
        judged = loaded.truth.holds.any(1)
        for first in range(0, self.neurons, BLOCK):
            block = slice(first, min(first + BLOCK, self.neurons))
            ranking = Ranking(loaded.written[block])
            for name, words in loaded.words.items():
                own = Words(words.indices[block], words.weights[block])
                found = scores(ranking, own, loaded.truth, self.top_share)
                yield self._table(layer, first, name, found, _known(own, judged))

    def _table(self, layer: int, first: int, name: str, found: Scores, known: Tensor) -> pa.Table:
        size = len(known)
        columns: dict[str, object] = {
            **neuron_columns(layer, first, size),
            "describer": pa.array([name] * size, pa.string()),
            "by": pa.array([self.by] * size, pa.string()),
            "base_rate": found.base_rate.numpy(),
            "auc": found.auc.numpy(),
            "known": known.numpy(),
        }
        for metric, score in found._asdict().items():
            if isinstance(score, Score):
                ends = (score.value, score.low, score.high)
                for end, values in zip(("", "_low", "_high"), ends, strict=True):
                    columns[metric + end] = values.float().numpy()
        return table_of(columns, tables.schema("scores"))


def _known(words: Words, judged: Tensor) -> Float[Tensor, "neuron"]:
    """The share of the words' weight on texts that are true of some picture."""
    weights = words.weights.abs()
    total = weights.sum(1)
    return (weights * judged[words.indices]).sum(1) / torch.where(total > 0, total, 1)
