"""What a sweep knows of its neurons, and the projections of their effects that follow from it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.projections import LayerProjections
from clipneuron.readers.arrow import tensor, unchanging
from clipneuron.readers.sweep import MeanEffect, mean_effects
from clipneuron.store.store import Run


class SweptNeurons(NamedTuple):
    """Means, directions and thresholds as arrays; by layer."""

    means: dict[int, MeanEffect]
    directions: dict[int, Float[np.ndarray, "neuron embed"]]
    thresholds: dict[int, Float[np.ndarray, "neuron"]]

    def projections(self, lens: SecondOrderLens) -> LayerProjections:
        """What the neurons of a layer write on pictures outside D, by a lens on that layer of the model."""
        mean = self.means[lens.layer]
        own, remainder = mean.outside(lens)
        return LayerProjections(
            own,
            mean.coefficients,
            remainder,
            unchanging(self.directions[lens.layer]),
            unchanging(self.thresholds[lens.layer]),
        )


def swept_neurons(
    run: Run, means: str, directions: str, layers: Sequence[int], threshold: str = "threshold"
) -> SweptNeurons:
    """What the stages `calibrate` and `directions`, by name, say of the layers' neurons.

    `threshold` is a column of `directions`. Raises ValueError for layers that the run does not have.
    """
    columns = ["layer", "neuron", "direction", threshold]
    rows = run.read(directions, "directions", columns=columns)
    own = {layer: rows.filter(pc.equal(rows["layer"], layer)).sort_by("neuron") for layer in layers}
    if missing := [layer for layer, found in own.items() if not found.num_rows]:
        raise ValueError(f"layers {missing} are not among those of run {run.name}")
    return SweptNeurons(
        mean_effects(run, means, layers),
        {layer: tensor(found["direction"]).numpy() for layer, found in own.items()},
        {layer: tensor(found[threshold]).numpy() for layer, found in own.items()},
    )
