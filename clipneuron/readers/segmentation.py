"""Tables of segmentation read back: the directions of some layers, and the neurons of each class as weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from clipneuron.readers.arrow import tensor
from clipneuron.store.store import Run


@dataclass(frozen=True)
class Directions:
    """The neurons of some layers, one layer after another, as arrays that processes of a node can share."""

    layer: Int[np.ndarray, "neuron"]
    neuron: Int[np.ndarray, "neuron"]
    matrix: Float[np.ndarray, "neuron embed"]
    usable: Bool[np.ndarray, "neuron"]
    """Whether the direction is one of more than roundings."""


def directions_of(run: Run, stage: str, layers: Sequence[int]) -> Directions:
    """The directions of the layers' neurons; raises StoreError where there are none yet."""
    columns = ["layer", "neuron", "direction", "note"]
    rows = run.read(stage, "directions", columns=columns, filters=[("layer", "in", list(layers))])
    rows = rows.sort_by([("layer", "ascending"), ("neuron", "ascending")]).combine_chunks()
    return Directions(
        rows["layer"].to_numpy(),
        rows["neuron"].to_numpy(),
        tensor(rows["direction"]).numpy(),
        pc.is_null(rows["note"]).to_numpy(zero_copy_only=False),
    )


@dataclass(frozen=True)
class ClassNeurons:
    """The neurons of every class, a row per class and place, as arrays that processes of a node can share."""

    label: Int[np.ndarray, "row"]
    layer: Int[np.ndarray, "row"]
    neuron: Int[np.ndarray, "row"]
    projection: Float[np.ndarray, "row"]

    def __len__(self) -> int:
        return len(self.label)


def class_neurons_of(run: Run, stage: str) -> Mapping[str, ClassNeurons]:
    """The neurons that a stage has chosen, by choice."""
    rows = run.read(stage, "class_neurons")
    found = {}
    for choice in ("class", "chance"):
        own = rows.filter(pc.equal(rows["choice"], choice))
        columns = ("label", "layer", "neuron", "projection")
        found[choice] = ClassNeurons(*(own[name].to_numpy() for name in columns))
    return found
