"""Tables of segmentation read back: the directions of some layers, and the neurons of each class with their weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.lens.attribution.methods import Choice
from clipneuron.lens.attribution.second_order import neuron_weights
from clipneuron.readers.arrow import table_of, tensor, unchanging
from clipneuron.readers.evidence import Classifier
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables


def directions_of(
    run: Run, stage: str, layers: Sequence[int]
) -> Mapping[int, Float[np.ndarray, "neuron embed"]]:
    """The directions of the layers' neurons; 0 for those whose direction is one of nothing but roundings.

    Raises StoreError where there are none yet.
    """
    columns = ["layer", "neuron", "direction", "note"]
    rows = run.read(stage, "directions", columns=columns, filters=[("layer", "in", list(layers))])
    rows = rows.sort_by([("layer", "ascending"), ("neuron", "ascending")])
    found = {}
    for layer in layers:
        own = rows.filter(pc.equal(rows["layer"], layer))
        means = torch.from_numpy(pc.is_null(own["note"]).to_numpy())
        found[layer] = (tensor(own["direction"]) * means[:, None]).numpy()
    return found


@dataclass(frozen=True)
class NeuronWeights:
    """What each neuron counts in the maps of each class, by those that count at all: plain arrays, a row each."""

    label: Int[np.ndarray, "row"]
    layer: Int[np.ndarray, "row"]
    neuron: Int[np.ndarray, "row"]
    weight: Float[np.ndarray, "row"]

    @classmethod
    def of(cls, dense: Mapping[int, Float[Tensor, "class neuron"]]) -> "NeuronWeights":
        """Those of dense weights by layer."""
        whole = torch.stack([*dense.values()], dim=1)
        label, place, neuron = whole.nonzero(as_tuple=True)
        return cls(
            label.numpy().astype(np.int32),
            np.array([*dense], np.int16)[place.numpy()],
            neuron.numpy().astype(np.int32),
            whole[label, place, neuron].float().numpy(),
        )

    def dense(self, classes: int, neurons: int) -> dict[int, Float[Tensor, "class neuron"]]:
        """A weight for each neuron of every layer that has any, 0 for most."""
        found = {}
        for layer in np.unique(self.layer).tolist():
            own = self.layer == layer
            matrix = torch.zeros(classes, neurons)
            places = (torch.from_numpy(each[own]).long() for each in (self.label, self.neuron))
            matrix[tuple(places)] = torch.from_numpy(self.weight[own])
            found[layer] = matrix
        return found


def neurons_of(
    classes: Classifier,
    directions: Mapping[int, Float[np.ndarray, "neuron embed"]],
    choices: Sequence[Choice],
    count: int,
    seed: int,
) -> dict[Choice, NeuronWeights]:
    """The neurons of each class by each choice, so many of those whose directions by layer are given."""
    texts = unchanging(classes.matrix)
    products = {layer: texts @ unchanging(own).T for layer, own in directions.items()}
    return {
        choice: NeuronWeights.of(neuron_weights(products, count, choice, seed))
        for choice in choices
    }


def weights_table(names: Sequence[str], choices: Mapping[Choice, NeuronWeights]) -> pa.Table:
    """The table `class_neurons`."""
    schema = tables.schema("class_neurons")
    return pa.concat_tables([schema.empty_table(), *_parts(names, choices, schema)])


def _parts(
    names: Sequence[str], choices: Mapping[Choice, NeuronWeights], schema: pa.Schema
) -> Iterator[pa.Table]:
    for choice, found in choices.items():
        columns = {
            **vars(found),
            "name": pa.array(names, pa.string()).take(pa.array(found.label)),
            "choice": pa.array([choice] * len(found.label), pa.string()),
        }
        yield table_of(columns, schema)


def weights_of(run: Run, stage: str) -> dict[Choice, NeuronWeights]:
    """The weights that a stage has chosen, by choice."""
    rows = run.read(stage, "class_neurons")
    found = {}
    for choice in pc.unique(rows["choice"]).to_pylist():
        own = rows.filter(pc.equal(rows["choice"], choice))
        columns = ("label", "layer", "neuron", "weight")
        found[choice] = NeuronWeights(*(own[name].to_numpy() for name in columns))
    return found
