"""directions: one direction per neuron, from the top effects of the whole sweep.

In coefficient space on the CPU, or from the effects themselves on the recipe's device, whichever is cheaper by the
layer's sizes (`clipneuron.lens.directions.is_by_effects`); the second way goes through a block in pieces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.directions import (
    Directions,
    directions_of_effects,
    first_directions,
    is_by_effects,
    own_norms,
)
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.scores.metrics import participation
from clipneuron.lens.summaries import Summary
from clipneuron.readers.arrow import list_column, neuron_columns, table_of
from clipneuron.readers.lenses import ClipLoader, Lenses, moved, reachable
from clipneuron.readers.summaries import BlockSummary, Merged, SummaryLoader
from clipneuron.readers.sweep import MeanEffect, grown, mean_effects, neuron_blocks
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

_SILENT = 1e-10
"""|phi| of a neuron that writes nothing."""

_STILL = 1e-4
"""The greatest |phi - b| as a share of |b|: by rounding, identical pictures reach a hundredth of this; others 1e-2."""

PIECE = 2**28
"""Bytes that the effects and the paths' vectors of neurons which are worked on at a time may take, about."""

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
    device: str = "cpu"
    """Where directions are found from effects, if the process that finds them has it."""
    large: tuple[int, ...] = ()
    """Layers whose directions may be found from effects: by rounding others than those of coefficient space."""
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
        """How many parts of the plan there are, once it has grown, and which layers are large, if any is."""
        return {**grown(self.parts), **({"large": list(self.large)} if self.large else {})}

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
        return DirectionsWorker(self, shared)


@dataclass(frozen=True)
class _LayerLens:
    """A layer as its blocks see it: through a lens that is where the work is done."""

    lens: SecondOrderLens
    axes: Float[Tensor, "axis embed"]
    """What the remainders' coordinates are along, in the joint space."""
    mean: MeanEffect

    def means(self, neurons: slice, basis: Tensor) -> tuple[Tensor, Tensor]:
        """b_n of neurons in the joint space [neuron, embed], without and with the remainder."""
        coefficients = self.mean.coefficients[neurons].to(basis)
        linear = (coefficients[:, None] @ basis)[:, 0]
        remainder = self.mean.remainder.to(basis) @ self.lens.remainder_basis
        return linear, linear + remainder


class DirectionsWorker:
    """Finds the directions of one block after another; the lens of the last one's layer is kept."""

    def __init__(self, stage: DirectionsStage, means: dict[int, MeanEffect]) -> None:
        self.stage, self.clip, self.shared = stage, stage.clip(), means
        self._kept: _LayerLens | None = None

    @torch.inference_mode()
    def process(self, loaded: BlockSummary, advance: Advance) -> Output:
        """The table `directions`."""
        layer, top = loaded.block.layer, loaded.summary.keys.shape[1]
        coordinates = loaded.remainders.coordinates.shape[-1]
        sizes = self.clip.weights.paths(layer), coordinates, top, self.clip.embed
        by_effects = is_by_effects(*sizes)
        device = reachable(self.stage.device) if by_effects else "cpu"
        lens = self._lens(layer, device, coordinates)
        found = _by_effects(lens, loaded) if by_effects else _by_paths(lens, loaded)
        advance(loaded.block.size)
        return Output({"directions": _table(loaded, found)})

    def _lens(self, layer: int, device: str, coordinates: int) -> _LayerLens:
        if self._kept is None or self._kept.lens.layer != layer:
            self._kept = None  # before the next one takes its memory
            lens = self.stage.lenses.one(moved(self.clip, device), layer)
            mean = self.shared[layer]
            self._kept = _LayerLens(lens, mean.basis(lens, coordinates), mean)
        return self._kept


@dataclass(frozen=True)
class _Found:
    """What is found of neurons: their directions, the greatest |c u| of their top effects, and their mean effects."""

    directions: Directions
    most: Float[Tensor, "neuron"]
    own: Float[Tensor, "neuron embed"]
    mean: Float[Tensor, "neuron embed"]

    def cpu(self) -> "_Found":
        """The same, where tables are made."""
        vectors = (self.directions.vectors, self.directions.explained_variance)
        parts = (part.cpu() for part in (*vectors, self.directions.projections))
        return _Found(Directions(*parts), self.most.cpu(), self.own.cpu(), self.mean.cpu())


def _by_paths(layer: _LayerLens, loaded: BlockSummary) -> _Found:
    """From coefficients, in an eigenproblem of the size of paths and coordinates."""
    coefficients, neurons = loaded.summary.coefficients, loaded.block.neurons
    basis = layer.lens.basis(neurons)
    remainders = layer.mean.in_one_space(loaded.remainders)
    directions = first_directions(coefficients, basis, remainders, layer.axes)
    most = own_norms(coefficients, basis).amax(1)
    return _Found(directions, most, *layer.means(neurons, basis))


def _by_effects(layer: _LayerLens, loaded: BlockSummary) -> _Found:
    """From the effects themselves, in an eigenproblem of the size of the top, piece by piece."""
    _, top, paths = loaded.summary.coefficients.shape
    embed, number = layer.axes.shape[1], layer.axes.element_size()
    each = (2 * paths * number + top * (2 * number + 2 * 8)) * embed
    step = max(1, PIECE // each)
    pieces = [
        _of_piece(layer, loaded, slice(start, min(start + step, loaded.block.size))).cpu()
        for start in range(0, loaded.block.size, step)
    ]
    directions = [piece.directions for piece in pieces]
    return _Found(
        Directions(
            torch.cat([each.vectors for each in directions]),
            torch.cat([each.explained_variance for each in directions]),
            torch.cat([each.projections for each in directions]),
        ),
        torch.cat([piece.most for piece in pieces]),
        torch.cat([piece.own for piece in pieces]),
        torch.cat([piece.mean for piece in pieces]),
    )


def _of_piece(layer: _LayerLens, loaded: BlockSummary, rows: slice) -> _Found:
    """Of some of a block's neurons."""
    first = loaded.block.first
    neurons = slice(first + rows.start, first + rows.stop)
    basis = layer.lens.basis(neurons)
    effects = loaded.summary.coefficients[rows].to(basis) @ basis
    most = effects.norm(dim=2).amax(1)
    effects += layer.mean.in_one_space(loaded.remainders.of(rows)).to(basis) @ layer.axes
    return _Found(directions_of_effects(effects), most, *layer.means(neurons, basis))


def _notes(summary: Summary, found: _Found) -> list[str | None]:
    """Of each neuron why its direction is one of nothing but roundings, None for all others."""
    most = found.most.maximum(found.own.norm(dim=1))
    still = summary.top_norms[:, 0] <= _STILL * found.mean.norm(dim=1)
    return [
        _DEAD if silent else _SAME if same else None
        for silent, same in zip((most <= _SILENT).tolist(), still.tolist(), strict=True)
    ]


def _table(loaded: BlockSummary, found: _Found) -> pa.Table:
    merged, block, floats = loaded.summary, loaded.block, pa.list_(pa.float32())
    directions = found.directions
    columns = {
        **neuron_columns(block.layer, block.first, block.size),
        "direction": list_column(directions.vectors.float(), floats),
        "mean": list_column(found.mean.float(), floats),
        "explained_variance": directions.explained_variance.float().numpy(),
        "note": pa.array(_notes(merged, found), pa.string()),
        "threshold": merged.threshold.numpy(),
        "quantile_98": merged.quantile(0.98).float().numpy(),
        "share": _share(merged).numpy(),
        "participation": participation(merged.square_sum, merged.fourth_sum, merged.count)
        .float()
        .numpy(),
        "count": pa.array([merged.count] * block.size, pa.int64()),
        "top_images": list_column(merged.top_images, pa.list_(pa.int64())),
        "top_norms": list_column(merged.top_norms, floats),
        "top_projections": list_column(directions.projections.float(), floats),
    }
    return table_of(columns, tables.schema("directions"))


def _share(merged: Summary) -> Float[Tensor, "neuron"]:
    used = (merged.keys >= 0).sum(1)
    return used.float() / max(merged.count, 1)
