"""What a comparison comes to, layer by layer and over all layers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipneuron.operations.compare.arrays import floats, mean, quantiles, ratio
from clipneuron.operations.compare.comparison import Comparison
from clipneuron.operations.compare.scores import METRICS

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75)
"""Of each layer's distributions; the lower ends are where change shows."""
NEAR = 0.9
"""The cosine below which a neuron counts as changed where nothing else is asked for."""


@dataclass(frozen=True)
class Summary:
    """The neurons of one layer, or of all layers (-1), in figures; NaN where there is nothing to take one of."""

    layer: int
    neurons: int
    cosines: tuple[float, ...]
    """At `QUANTILES`, of the neurons that have a direction in both runs."""
    mean_cosine: float
    below: float
    """Share of the neurons whose cosine is below `near`, those that have a direction in one run only among them."""
    flipped: int
    silent_in_one: int
    words_changed: float
    """Share of the neurons that gained or lost a word."""
    top_shared: float
    """Mean share of the top pictures that are the same."""
    norm_ratios: tuple[float, ...]
    """At `QUANTILES`, of the mean norm in B over that in A."""
    explained: tuple[tuple[float, ...], tuple[float, ...]]
    """Explained variance at `QUANTILES`, in A and B."""
    scores: dict[str, tuple[float, float]]
    """The mean of each score in A and B, over the neurons that have both."""

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {**vars(self), "quantiles": QUANTILES}


def summaries(found: Comparison, near: float = NEAR) -> list[Summary]:
    """A summary per layer."""
    layers = found.neurons["layer"].to_numpy()
    return [_summary(found, layer, np.flatnonzero(layers == layer), near) for layer in found.layers]


def overall(found: Comparison, near: float = NEAR) -> Summary:
    """The summary over all layers."""
    return _summary(found, -1, np.arange(found.neurons.num_rows), near)


def _summary(found: Comparison, layer: int, rows: NDArray[np.int64], near: float) -> Summary:
    def column(name: str) -> NDArray[np.float64]:
        return floats(found.neurons[name])[rows]

    cosine = column("cosine")
    has = [found.neurons[f"note_{side}"].is_null().to_numpy()[rows] for side in "ab"]
    norms = [column(f"mean_norm_{side}") for side in "ab"]
    explained = [column(f"explained_variance_{side}") for side in "ab"]
    return Summary(
        layer=layer,
        neurons=len(rows),
        cosines=tuple(quantiles(cosine, QUANTILES)),
        mean_cosine=mean(cosine),
        below=mean(found.nearness[rows] < near),
        flipped=int(found.neurons["flipped"].to_numpy()[rows].sum()),
        silent_in_one=int((has[0] != has[1]).sum()),
        words_changed=mean(found.words_changed[rows] > 0),
        top_shared=mean(column("top_shared")),
        norm_ratios=tuple(quantiles(ratio(norms[1], norms[0]), QUANTILES)),
        explained=(
            tuple(quantiles(explained[0], QUANTILES)),
            tuple(quantiles(explained[1], QUANTILES)),
        ),
        scores=_paired(column) if found.has_scores else {},
    )


def _paired(column: Any) -> dict[str, tuple[float, float]]:
    scores = {}
    for metric in METRICS:
        one, other = column(f"{metric}_a"), column(f"{metric}_b")
        known = np.isfinite(one) & np.isfinite(other)
        scores[metric] = (mean(one[known]), mean(other[known]))
    return scores
