"""Tables read back as the lens's objects: mean effects, summaries and remainders of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.columns import tensor
from clipneuron.lens.summaries import Moments, Summary, merge, top_keys
from clipneuron.storage.store import Run


@dataclass(frozen=True)
class MeanEffect:
    """The mean effect b_n of a layer over D, in coefficient space."""

    coefficients: Float[Tensor, "neuron path"]
    remainder: Float[Tensor, "coordinate"]
    axes: Float[Tensor, "coordinate axis"]
    """The axes along which the remainders differ between images."""


@dataclass(frozen=True)
class NeuronBlock:
    """Neurons first..first+size-1 of one layer: the unit of work of the per-neuron stages."""

    layer: int
    first: int
    size: int

    @property
    def name(self) -> str:
        """A stable name for the block's shard."""
        return f"layer-{self.layer:02d}-neurons-{self.first:05d}"

    @property
    def neurons(self) -> slice:
        """The block's neurons."""
        return slice(self.first, self.first + self.size)

    @property
    def filters(self) -> list[tuple[str, str, int]]:
        """The block as a filter on tables with the columns layer and neuron."""
        return [
            ("layer", "==", self.layer),
            ("neuron", ">=", self.first),
            ("neuron", "<", self.first + self.size),
        ]


def neuron_blocks(layers: Sequence[int], neurons: int, size: int) -> list[NeuronBlock]:
    """All neurons of the layers, at most `size` at a time."""
    return [
        NeuronBlock(layer, first, min(size, neurons - first))
        for layer in layers
        for first in range(0, neurons, size)
    ]


def mean_effects(run: Run, layers: Sequence[int]) -> dict[int, MeanEffect]:
    """The mean effects that `calibrate` left, merged over its shards in shard order.

    Raises ValueError when no picture was counted.
    """
    sums: dict[int, Moments] = {}
    for shard in run.committed("calibrate"):
        means = run.read("calibrate", "means", shards=[shard])
        remainders = run.read("calibrate", "remainder_means", shards=[shard])
        for layer in layers:
            moments = _moments(_of_layer(means, layer), _of_layer(remainders, layer))
            sums[layer] = sums[layer] + moments if layer in sums else moments
    return {layer: MeanEffect(*moments.mean, moments.axes) for layer, moments in sums.items()}


def summary(run: Run, block: NeuronBlock, shards: Sequence[str]) -> Summary:
    """What the sweep knows of a block of neurons, merged over its shards, one of them in memory at a time."""
    return merge(
        _summary(run.read("effects", "summaries", shards=[shard], filters=block.filters))
        for shard in shards
    ).ranked()


def remainders(
    run: Run, layer: int
) -> tuple[Int[Tensor, "image"], Float[Tensor, "image coordinate"]]:
    """Numbers and centred remainder coordinates of all swept pictures, by rising number."""
    table = run.read("effects", "remainders", filters=[("layer", "==", layer)]).sort_by("index")
    return tensor(table["index"]), tensor(table["coordinates"])


def _of_layer(table: pa.Table, layer: int) -> pa.Table:
    return table.filter(pc.equal(table["layer"], layer))


def _moments(means: pa.Table, remainders: pa.Table) -> Moments:
    coordinates = tensor(remainders["coordinates"])[0]
    size = len(coordinates)
    return Moments(
        int(means["count"][0].as_py()),
        tensor(means["coefficients"]),
        coordinates,
        tensor(remainders["products"])[0].reshape(size, size),
    )


def _summary(table: pa.Table) -> Summary:
    norms, images = tensor(table["top_norms"]), tensor(table["top_images"])
    keys = torch.where(images < 0, -1, top_keys(norms, images.clamp(min=0)))
    return Summary(
        int(table["count"][0].as_py()),
        tensor(table["norm_sum"]),
        tensor(table["square_sum"]),
        tensor(table["fourth_sum"]),
        tensor(table["histogram"]),
        keys,
        tensor(table["top_coefficients"]).reshape(len(norms), norms.shape[1], -1),
    )


def positions(
    numbers: Int[Tensor, "image"], wanted: Int[Tensor, "*batch"]
) -> Int[Tensor, "*batch"]:
    """Where each wanted picture number stands in the sorted `numbers`; unused places (-1) give 0."""
    found = np.searchsorted(numbers.numpy(), wanted.clamp(min=0).numpy())
    return torch.from_numpy(found).clamp(max=max(len(numbers) - 1, 0))
