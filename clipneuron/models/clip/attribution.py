"""Attribution maps of pictures by any of the methods, from one forward pass and at most one backward pass."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.trace import TowerWeights

NeuronWeights = Mapping[int, Float[Tensor, "image neuron"]]
"""Layer -> the weight of each of its neurons in each picture's map."""


def attribute(
    visual: Any,
    weights: TowerWeights,
    pixels: Float[Tensor, "image 3 height width"],
    directions: Float[Tensor, "image embed"],
    methods: Sequence[str],
    *,
    neurons: Mapping[str, NeuronWeights] | None = None,
    others: Float[Tensor, "image embed"] | None = None,
) -> dict[str, Float[Tensor, "image patch"]]:
    """The map of every method for each picture's class: higher where a patch speaks more for it, row by row.

    `directions` are the classes' texts, at unit length. `neurons` has, for every method with a `choice` in `METHODS`,
    the neurons' weights (`lens.attribution.second_order.neuron_weights`, one row per picture). `others` is the mean
    direction over all classes, for the methods with `others`.
    """
    raise NotImplementedError
