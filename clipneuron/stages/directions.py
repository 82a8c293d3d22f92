"""directions: one direction per neuron, from the top effects of the whole sweep."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.columns import list_column, neuron_columns, table_of
from clipneuron.lens.directions import Directions, first_directions
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.metrics import participation
from clipneuron.lens.summaries import Summary
from clipneuron.models.clip import Clip
from clipneuron.readings import (
    MeanEffect,
    NeuronBlock,
    mean_effects,
    neuron_blocks,
    positions,
    remainders,
    summary,
)
from clipneuron.sources import ClipLoader, Lenses
from clipneuron.stage import Advance, Output, Resources, Shard
from clipneuron.storage import tables
from clipneuron.storage.store import Run


@dataclass(frozen=True)
class DirectionsStage:
    """Merges the sweep's summaries and solves a small eigenproblem per neuron, block by block."""

    clip: ClipLoader
    lenses: Lenses
    neurons: int
    block: int
    resources: Resources = Resources()

    name = "directions"
    reads = ("calibrate", "effects")
    writes = ("directions",)
    unit = "neurons"

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of neurons."""
        blocks = neuron_blocks(self.lenses.layers, self.neurons, self.block)
        return [Shard(block.name, block.size, block) for block in blocks]

    def build(self, run: Run) -> "DirectionsWorker":
        """A worker with the model's weights and the mean effects."""
        return DirectionsWorker(self, self.clip(), run)


@dataclass(frozen=True)
class BlockSummary:
    """A block's merged summary with the remainders of its top pictures."""

    block: NeuronBlock
    summary: Summary
    remainders: Float[Tensor, "neuron top coordinate"]


class DirectionsWorker:
    """Finds the directions of one block after another."""

    def __init__(self, stage: DirectionsStage, clip: Clip, run: Run) -> None:
        self.run, self.means = run, mean_effects(run, stage.lenses.layers)
        self.lenses = stage.lenses.on(clip)
        self.narrow = {
            layer: lens.narrowed(self.means[layer].axes).remainder_basis
            for layer, lens in self.lenses.items()
        }
        self.shards = list(run.committed("effects"))
        self._remainders: tuple[int, tuple[Tensor, Tensor]] | None = None

    def load(self, shard: Shard) -> BlockSummary:
        """The block's rows of every summary, merged."""
        block: NeuronBlock = shard.payload
        merged = summary(self.run, block, self.shards)
        numbers, coordinates = self._remainders_of(block.layer)
        used = (merged.top_images >= 0)[..., None]
        return BlockSummary(
            block, merged, coordinates[positions(numbers, merged.top_images)] * used
        )

    def _remainders_of(self, layer: int) -> tuple[Tensor, Tensor]:
        """The layer's remainders, kept for its other blocks: shards come layer by layer."""
        if self._remainders is None or self._remainders[0] != layer:
            self._remainders = layer, remainders(self.run, layer)
        return self._remainders[1]

    @torch.inference_mode()
    def process(self, loaded: BlockSummary, advance: Advance) -> Output:
        """The table `directions`."""
        lens, block = self.lenses[loaded.block.layer], loaded.block
        basis = lens.basis(block.neurons)
        found = first_directions(
            loaded.summary.coefficients,
            basis.cpu(),
            loaded.remainders,
            self.narrow[block.layer].cpu(),
        )
        mean = _mean_effect(lens, self.means[block.layer], basis, block)
        advance(block.size)
        return Output({"directions": _table(loaded, found, mean)})


def _mean_effect(
    lens: SecondOrderLens, mean: MeanEffect, basis: Tensor, block: NeuronBlock
) -> Float[Tensor, "neuron embed"]:
    """b_n of the block in the joint space."""
    coefficients = mean.coefficients[block.neurons].to(basis)
    linear = (coefficients[:, None] @ basis)[:, 0]
    return linear + mean.remainder.to(basis) @ lens.remainder_basis


def _table(loaded: BlockSummary, found: Directions, mean: Tensor) -> pa.Table:
    merged, block, floats = loaded.summary, loaded.block, pa.list_(pa.float32())
    columns = {
        **neuron_columns(block.layer, block.first, block.size),
        "direction": list_column(found.vectors.float(), floats),
        "mean": list_column(mean.float(), floats),
        "explained_variance": found.explained_variance.float().numpy(),
        "threshold": merged.threshold.numpy(),
        "quantile_98": merged.quantile(0.98).float().numpy(),
        "share": _share(merged).numpy(),
        "participation": participation(merged.square_sum, merged.fourth_sum, merged.count)
        .float()
        .numpy(),
        "count": pa.array([merged.count] * block.size, pa.int64()),
        "top_images": list_column(merged.top_images, pa.list_(pa.int64())),
        "top_norms": list_column(merged.top_norms, floats),
        "top_projections": list_column(found.projections.float(), floats),
    }
    return table_of(columns, tables.schema("directions"))


def _share(merged: Summary) -> Float[Tensor, "neuron"]:
    used = (merged.keys >= 0).sum(1)
    return used.float() / max(merged.count, 1)
