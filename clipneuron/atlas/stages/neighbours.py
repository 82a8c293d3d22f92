"""neighbours: the neurons of all layers whose directions are most alike, by products of blocks of directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.neighbours import nearest
from clipneuron.readers.arrow import table_of, tensor, unchanging
from clipneuron.readers.sweep import NeuronBlock
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

Shared = tuple[Int[np.ndarray, "row"], Int[np.ndarray, "row"], Float[np.ndarray, "row embed"]]
"""Layer, number and direction of all neurons, by layer and number."""


@dataclass(frozen=True, kw_only=True)
class NeighboursStage(Stage):
    """Compares every neuron of a block with all neurons of the run."""

    blocks: tuple[NeuronBlock, ...]
    near: int
    directions: Upstream
    whole: bool = True
    """Whether the blocks are all neurons of the run."""
    resources: Resources = Resources()

    kind = "neighbours"
    writes = ("near_neurons",)
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The directions."""
        return (self.directions,)

    @property
    def identity(self) -> Mapping[str, object]:
        """How many neighbours; of which neurons, where not of all."""
        some = {} if self.whole else {"neurons": [block.name for block in self.blocks]}
        return {"near": self.near, **some}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of neurons."""
        return [Shard(block.name, block.size, block) for block in self.blocks]

    def loader(self, run: Run) -> "BlockLoader":
        """Nothing to read: all directions are shared."""
        return BlockLoader()

    def share(self, run: Run) -> Shared:
        """The directions of all neurons."""
        columns = ["layer", "neuron", "direction"]
        rows = run.read(self.directions.name, "directions", columns=columns).sort_by(
            [("layer", "ascending"), ("neuron", "ascending")]
        )
        return (
            rows["layer"].to_numpy(),
            rows["neuron"].to_numpy(),
            tensor(rows["direction"]).numpy(),
        )

    def build(self, shared: Shared) -> "NeighboursWorker":
        """A worker with the directions."""
        return NeighboursWorker(*shared, self.near)


@dataclass(frozen=True)
class BlockLoader:
    """Passes on which block it is."""

    def load(self, shard: Shard) -> NeuronBlock:
        """The block."""
        block: NeuronBlock = shard.payload
        return block


@dataclass(frozen=True)
class NeighboursWorker:
    """Compares one block of neurons after another."""

    layers: Int[np.ndarray, "row"]
    neurons: Int[np.ndarray, "row"]
    directions: Float[np.ndarray, "row embed"]
    near: int

    @torch.inference_mode()
    def process(self, loaded: NeuronBlock, advance: Advance) -> Output:
        """The table `near_neurons`; no row for a neuron without a direction."""
        first = int(np.searchsorted(self.layers, loaded.layer)) + loaded.first
        found = nearest(unchanging(self.directions), first, loaded.size, self.near)
        row, place = found.cosines.nonzero(as_tuple=True)
        other = found.rows[row, place].numpy()
        columns = {
            "layer": np.full(len(row), loaded.layer, np.int16),
            "neuron": (row.numpy() + loaded.first).astype(np.int32),
            "place": place.numpy().astype(np.int16),
            "near_layer": self.layers[other].astype(np.int16),
            "near_neuron": self.neurons[other].astype(np.int32),
            "cosine": found.cosines[row, place].numpy(),
        }
        advance(loaded.size)
        return Output({"near_neurons": table_of(columns, tables.schema("near_neurons"))})
