"""Tables of the evidence read back: the classifier, and the means that direct and indirect effects are replaced by."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.indirect import ActivationSums
from clipneuron.readers.arrow import tensor
from clipneuron.store.store import Run

ActivationMeans = dict[int, Float[np.ndarray, "token neuron"]]


@dataclass(frozen=True)
class Classifier:
    """A zero-shot classifier: unit rows by name, as an array that processes of a node can share."""

    names: tuple[str, ...]
    matrix: Float[np.ndarray, "class embed"]


def classifier_of(run: Run, stage: str) -> Classifier:
    """The zero-shot classifier that a stage has encoded, in the order of labels."""
    table = run.read(stage, "classifier").sort_by("label")
    return Classifier(tuple(table["name"].to_pylist()), tensor(table["embedding"]).numpy())


def first_order_means(run: Run, stage: str) -> Float[Tensor, "layer head embed"]:
    """The mean effect of every head over the pictures that a stage has summed; ValueError without any."""
    table = run.read(stage, "first_order_means")
    layers, heads = (int(table[name].to_numpy().max()) + 1 for name in ("layer", "head"))
    place = tensor(table["layer"]).long() * heads + tensor(table["head"]).long()
    effects = tensor(table["effect"])
    sums = effects.new_zeros(layers * heads, effects.shape[1]).index_add_(0, place, effects)
    count = int(table["count"].to_numpy()[(place == 0).numpy()].sum())
    if count == 0:
        raise ValueError("mean first-order effects need at least one picture that can be used")
    return rearrange(sums / count, "(layer head) embed -> layer head embed", head=heads)


def activation_means(run: Run, stage: str) -> ActivationMeans:
    """The mean activations [token, neuron] of every layer that a stage has summed; ValueError without any picture."""
    table = run.read(stage, "activation_means")
    means = {}
    for layer in np.unique(table["layer"].to_numpy()).tolist():
        rows = table.filter(pc.equal(table["layer"], layer))
        token = tensor(rows["token"]).long()
        sums = tensor(rows["activations"])
        total = sums.new_zeros(int(token.max()) + 1, sums.shape[1]).index_add_(0, token, sums)
        count = int(rows["count"].to_numpy()[(token == 0).numpy()].sum())
        means[layer] = ActivationSums(count, total).mean.float().numpy()
    if not means:
        raise ValueError("mean activations need at least one picture that can be used")
    return means
