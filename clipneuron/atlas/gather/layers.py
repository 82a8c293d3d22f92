"""The cards of layers: how their neurons' figures are spread, and what ablating them does to the classifier."""

import numpy as np

from clipneuron.atlas.cards import Ablation, Distribution, LayerCard
from clipneuron.atlas.gather.overview import Floats, Overview
from clipneuron.evidence.accuracies import Accuracies
from clipneuron.store.run import Run
from clipneuron.tables.ablations import NONE

ABLATIONS = ("all", "large", "small", "pc")
"""Ablations of whole layers that are drawn."""
_BINS = 24


class LayerCards:
    """Makes the cards of layers; accuracies are read once for all of them."""

    def __init__(self, run: Run, overview: Overview, predictions: tuple[str, ...]) -> None:
        self._overview = overview
        self.baseline, self.ablations = _ablations(run, predictions) if predictions else (None, ())

    def card(self, layer: int) -> LayerCard:
        """The card of one layer; raises StoreError."""
        overview = self._overview
        own = np.flatnonzero(overview.layer == layer)
        figures = (
            ("explained variance", overview.explained),
            ("effective share of pictures", overview.participation),
            ("threshold", overview.threshold),
            ("correlation of its words", overview.score),
        )
        spread = (_distribution(name, values[own]) for name, values in figures)
        return LayerCard(
            layer=layer,
            layers=overview.layers,
            distributions=tuple(filter(None, spread)),
            ablations=self.ablations,
            baseline=self.baseline,
            rows=tuple(overview.card(int(row), pictured=False) for row in own),
        )


def _distribution(name: str, values: Floats) -> Distribution | None:
    """A histogram of what is a number; None where there is nothing to see."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return None
    counts, edges = np.histogram(finite, bins=_BINS)
    return Distribution(
        name, tuple(edges.tolist()), tuple(counts.tolist()), float(np.median(finite))
    )


def _ablations(run: Run, predictions: tuple[str, ...]) -> tuple[float | None, tuple[Ablation, ...]]:
    """The undisturbed accuracy, and that with the effects of whole layers replaced."""
    accuracies = Accuracies.of(run, predictions)
    found = []
    for key in sorted(accuracies.outcomes):
        estimate = accuracies.accuracy(key) if key.name in ABLATIONS and key.head < 0 else None
        if estimate and key.layer >= 0:
            found.append(Ablation(key.layer, key.name, *estimate))
    undisturbed = accuracies.accuracy(NONE)
    return (undisturbed.value if undisturbed else None), tuple(found)
