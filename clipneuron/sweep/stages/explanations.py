"""explanations: do a neuron's words predict the pictures it acts on? Needs pictures of known content.

For every neuron, each picture is scored by the summed weights of those of its words that are true of the
picture; the score's AUC says how well that tells the neuron's top pictures with a positive projection from all
others. The control gives each neuron another neuron's words.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.metrics import auc
from clipneuron.readers.arrow import neuron_columns, table_of, tensor, unchanging
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

Truth = Callable[[Sequence[str]], Bool[np.ndarray, "text image"]]
"""Says which texts are true of which pictures, pictures by number."""


@dataclass(frozen=True)
class ExplanationsStage(Stage):
    """Scores the descriptions of one layer per shard."""

    truth: Truth
    effects: Upstream
    directions: Upstream
    descriptions: Upstream
    pool: str
    """The name of the pool of the descriptions."""
    layers: tuple[int, ...]
    neurons: int
    swept: tuple[str, ...]
    """The sweep's shards."""
    seed: int = 0
    resources: Resources = Resources()

    kind = "explanations"
    writes = ("explanations",)
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The descriptions, and the top pictures of the directions."""
        return (self.effects, self.directions, self.descriptions)

    @property
    def label(self) -> str:
        """The pool's name."""
        return self.pool

    @property
    def identity(self) -> Mapping[str, object]:
        """Which other neuron's words are the control."""
        return {"seed": self.seed}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per layer."""
        return [Shard(f"layer-{layer:02d}", self.neurons, layer) for layer in self.layers]

    def loader(self, run: Run) -> "ExplanationsLoader":
        """Reads directions and descriptions."""
        return ExplanationsLoader(run, self.directions.name, self.descriptions.name)

    def share(self, run: Run) -> Int[np.ndarray, "image"]:
        """The numbers of the pictures that could be used, rising."""
        columns = ["index", "status"]
        seen = run.read(self.effects.name, "norms", shards=self.swept, columns=columns)
        good = pc.equal(seen["status"], "ok").to_numpy()
        return np.sort(seen["index"].to_numpy()[good])

    def build(self, shared: Int[np.ndarray, "image"]) -> "ExplanationsWorker":
        """A worker; the truth is asked per layer."""
        return ExplanationsWorker(self, unchanging(shared))


@dataclass(frozen=True)
class ExplanationsLoader:
    """Reads a layer's directions and descriptions."""

    run: Run
    directions: str
    descriptions: str

    def load(self, shard: Shard) -> tuple[int, pa.Table, pa.Table]:
        """The layer with its directions and its descriptions."""
        layer = [("layer", "==", shard.payload)]
        directions = self.run.read(self.directions, "directions", filters=layer)
        described = self.run.read(self.descriptions, "neuron_words", filters=layer)
        return shard.payload, directions.sort_by("neuron"), described


class ExplanationsWorker:
    """Scores one layer after another."""

    def __init__(self, stage: ExplanationsStage, usable: Int[Tensor, "image"]) -> None:
        self.stage, self.usable = stage, usable

    def process(self, loaded: tuple[int, pa.Table, pa.Table], advance: Advance) -> Output:
        """The table `explanations`."""
        layer, directions, described = loaded
        scores = self._scores(described)[:, self.usable]
        acts = _acts(directions, int(self.usable.max()) + 1)[:, self.usable]
        other = derangement(self.stage.neurons, self.stage.seed)
        columns = {
            **neuron_columns(layer, 0, self.stage.neurons),
            "auc": auc(scores, acts).float().numpy(),
            "shuffled_auc": auc(scores[other], acts).float().numpy(),
            "positives": acts.sum(1).int().numpy(),
        }
        advance(self.stage.neurons)
        return Output({"explanations": table_of(columns, tables.schema("explanations"))})

    def _scores(self, described: pa.Table) -> Float[Tensor, "neuron image"]:
        neuron, weight = tensor(described["neuron"]).long(), tensor(described["weight"])
        texts = described["text"].to_pylist()
        vocabulary = sorted({*texts})
        column = {text: index for index, text in enumerate(vocabulary)}
        weights = torch.zeros(self.stage.neurons, max(len(vocabulary), 1))
        if texts:
            weights[neuron, torch.tensor([column[text] for text in texts])] = weight
        truth = torch.from_numpy(self.stage.truth(vocabulary or [""])).float()
        return weights @ truth


def _acts(directions: pa.Table, images: int) -> Bool[Tensor, "neuron image"]:
    """Which pictures are among a neuron's top ones with a positive projection."""
    top, projections = tensor(directions["top_images"]), tensor(directions["top_projections"])
    acts = torch.zeros(len(top), images + 1, dtype=torch.bool)
    acts.scatter_(1, torch.where((projections > 0) & (top >= 0), top, images), True)
    return acts[:, :images]


def derangement(size: int, seed: int) -> Int[Tensor, "neuron"]:
    """A seeded permutation without fixed points (for two or more): a cyclic shift along a random order."""
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return other
