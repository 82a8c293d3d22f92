"""What is compared of the neurons of one layer: directions, top pictures, norms, explained variance."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clipneuron.operations.compare.arrays import Matrix, floats, matrix, ratio, unit
from clipneuron.operations.compare.pictures import CommonPictures, shared_share
from clipneuron.operations.compare.sides import Floats, Ints, Side, keys_of

FLIPPED = -0.5
"""The cosine from which on a direction counts as the same axis, turned around.

A direction is an axis: its sign is that of the majority of the top pictures' projections, and turns with one picture
where they are balanced.
"""
_EFFECTS = "effects"


class LayerChanges(NamedTuple):
    """What changed of the neurons of a layer, a value per neuron."""

    cosine: Floats
    """Between the directions; of one that is flipped, of the axes. NaN where either run has none."""
    flipped: NDArray[np.bool_]
    top_shared: Floats
    """Share of the top pictures of A that are top pictures of B; NaN where the runs have no picture in common."""


def directions(side: Side, layer: int) -> Matrix:
    """The unit directions of a layer's neurons, by neuron; zeros for those that mean nothing."""
    rows = _rows(side, layer, ["direction"])
    found = unit(matrix(rows["direction"]))
    found[silent(side.neurons.of_layer(layer))] = 0
    return found


def layer_changes(a: Side, b: Side, layer: int, pictures: CommonPictures | None) -> LayerChanges:
    """The changes of one layer; raises StoreError."""
    wanted = ["direction", "top_images"] if pictures else ["direction"]
    one, other = (_rows(side, layer, wanted) for side in (a, b))
    left, right = (unit(matrix(rows["direction"])) for rows in (one, other))
    cosine = np.einsum("ij,ij->i", left, right).astype(np.float64)
    for side in (a, b):
        cosine[silent(side.neurons.of_layer(layer))] = np.nan
    shared = np.full(len(cosine), np.nan)
    if pictures:
        tops = (matrix(rows["top_images"]).astype(np.int64) for rows in (one, other))
        shared = shared_share(next(tops), pictures.numbers(next(tops)))
    flipped = cosine <= FLIPPED
    return LayerChanges(np.where(flipped, -cosine, cosine), flipped, shared)


def silent(neurons: pa.Table) -> NDArray[np.bool_]:
    """Which neurons have a direction that means nothing, as its note says."""
    found: NDArray[np.bool_] = neurons["note"].is_valid().to_numpy()
    return found


def mean_norms(side: Side, keys: Ints) -> Floats:
    """The mean |phi - b| over the swept pictures of the neurons with these keys, rising; NaN where it is not on record.

    From the sums that each shard of the sweep keeps, one shard in memory at a time.
    """
    sums, counts = np.zeros(len(keys)), np.zeros(len(keys))
    for part in _summed(side):
        own = keys_of(part)
        row = np.searchsorted(keys, own).clip(max=len(keys) - 1)
        wanted = keys[row] == own
        sums += np.bincount(row[wanted], floats(part["norm_sum"])[wanted], len(keys))
        counts += np.bincount(row[wanted], floats(part["count"])[wanted], len(keys))
    return ratio(sums, counts)


def _summed(side: Side) -> Iterator[pa.Table]:
    if side.run.done(_EFFECTS):
        columns = ["layer", "neuron", "count", "norm_sum"]
        for _, part in side.run.scan(_EFFECTS, "summaries", columns=columns):
            yield part


def _rows(side: Side, layer: int, columns: Sequence[str]) -> pa.Table:
    """Columns of a layer's neurons, by neuron; little is sorted, since shards hold neurons in order."""
    shards = side.neurons.shards[layer]
    wanted = ["layer", "neuron", *columns]
    table = side.run.read(side.results.directions, "directions", shards=shards, columns=wanted)
    own = table["layer"].to_numpy() == layer
    table = table if own.all() else table.filter(pa.array(own))
    neuron = table["neuron"].to_numpy()
    return table if (np.diff(neuron) > 0).all() else table.take(pa.array(np.argsort(neuron)))
