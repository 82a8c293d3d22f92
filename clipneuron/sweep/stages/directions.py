"""directions: one direction per neuron, from the top effects of the whole sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.directions import Directions, first_directions, own_norms
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.metrics import participation
from clipneuron.lens.summaries import Summary
from clipneuron.readers.arrow import list_column, neuron_columns, table_of
from clipneuron.readers.lenses import ClipLoader, Lenses
from clipneuron.readers.summaries import BlockSummary, Merged, SummaryLoader
from clipneuron.readers.sweep import MeanEffect, NeuronBlock, grown, mean_effects, neuron_blocks
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

_SILENT = 1e-10
"""|phi| of a neuron that writes nothing."""

_STILL = 1e-4
"""The greatest |phi - b| as a share of |b|: by rounding, identical pictures reach a hundredth of this; others 1e-2."""

_DEAD = "dead: it adds nothing of its own on any picture"
_SAME = "no variance: its effect is the same on all pictures, up to rounding"


@dataclass(frozen=True)
class DirectionsStage(Stage):
    """Merges the sweep's summaries and solves a small eigenproblem per neuron, block by block."""

    clip: ClipLoader
    lenses: Lenses
    neurons: int
    block: int
    tree: Merged
    means: Upstream
    parts: int = 1
    """Parts of the plan that the summaries are of."""
    resources: Resources = Resources()

    kind = "directions"
    writes = ("directions",)
    unit = "neurons"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The mean effects and the summaries."""
        return (self.means, self.tree.last)

    @property
    def identity(self) -> Mapping[str, object]:
        """Nothing before the collection has grown; then how many parts of the plan there are."""
        return grown(self.parts)

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of neurons."""
        blocks = neuron_blocks(self.lenses.layers, self.neurons, self.block)
        return [Shard(block.name, block.size, block) for block in blocks]

    def loader(self, run: Run) -> "SummaryLoader":
        """Reads and merges what the sweep left of a block."""
        return SummaryLoader(run, self.tree)

    def share(self, run: Run) -> dict[int, MeanEffect]:
        """The mean effects."""
        return mean_effects(run, self.means.name, self.lenses.layers)

    def build(self, shared: dict[int, MeanEffect]) -> "DirectionsWorker":
        """A worker with the model's weights and the mean effects."""
        return DirectionsWorker(self.lenses.on(self.clip()), shared)


class DirectionsWorker:
    """Finds the directions of one block after another."""

    def __init__(self, lenses: dict[int, SecondOrderLens], means: dict[int, MeanEffect]) -> None:
        self.means, self.lenses = means, lenses
        self.narrow = {
            layer: lens.narrowed(means[layer].axes).remainder_basis
            for layer, lens in lenses.items()
        }

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
        own, mean = _mean_effects(lens, self.means[block.layer], basis, block)
        notes = _notes(loaded.summary, basis.cpu(), own.cpu(), mean.cpu())
        advance(block.size)
        return Output({"directions": _table(loaded, found, mean, notes)})


def _mean_effects(
    lens: SecondOrderLens, mean: MeanEffect, basis: Tensor, block: NeuronBlock
) -> tuple[Float[Tensor, "neuron embed"], Float[Tensor, "neuron embed"]]:
    """b_n of the block in the joint space, without and with the remainder."""
    coefficients = mean.coefficients[block.neurons].to(basis)
    linear = (coefficients[:, None] @ basis)[:, 0]
    return linear, linear + mean.remainder.to(basis) @ lens.remainder_basis


def _notes(summary: Summary, basis: Tensor, own: Tensor, mean: Tensor) -> list[str | None]:
    """Of each neuron why its direction is one of nothing but roundings, None for all others."""
    most = own_norms(summary.coefficients, basis).amax(1).maximum(own.norm(dim=1))
    still = summary.top_norms[:, 0] <= _STILL * mean.norm(dim=1)
    return [
        _DEAD if silent else _SAME if same else None
        for silent, same in zip((most <= _SILENT).tolist(), still.tolist(), strict=True)
    ]


def _table(
    loaded: BlockSummary, found: Directions, mean: Tensor, notes: list[str | None]
) -> pa.Table:
    merged, block, floats = loaded.summary, loaded.block, pa.list_(pa.float32())
    columns = {
        **neuron_columns(block.layer, block.first, block.size),
        "direction": list_column(found.vectors.float(), floats),
        "mean": list_column(mean.float(), floats),
        "explained_variance": found.explained_variance.float().numpy(),
        "note": pa.array(notes, pa.string()),
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
