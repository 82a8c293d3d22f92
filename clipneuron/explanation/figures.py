"""The scores of a run read back, and what they come to: per layer, over all layers, and neuron by neuron."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.explanation.cosy import DRAWS, CosyRow, cosy_rows
from clipneuron.explanation.pipeline import BOUND, CONTROL, PURSUIT
from clipneuron.explanation.results import ExplanationResults
from clipneuron.reports.estimates import Estimate, estimate, finite_mean
from clipneuron.store.store import Run

METRICS = ("correlation", "auprc", "f1", "iou")
"""Those that notice wrong words (tests/lens/words/test_truth.py); AUC does not, and is there for comparability."""

OUTPUT = "rank_correlation"

PerNeuron = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A describer in one layer, or in all of them (layer -1): means over the neurons that have a score.

    over_control: the mean difference to another neuron's words, with its interval over neurons.
    """

    layer: int
    describer: str
    neurons: int
    means: Mapping[str, float]
    medians: Mapping[str, float]
    over_control: Mapping[str, Estimate]


@dataclass(frozen=True)
class Card:
    """One neuron: its words, how true they are, and what another neuron's words and the best single word score."""

    layer: int
    neuron: int
    words: tuple[tuple[str, float], ...]
    correlation: float
    low: float
    high: float
    auprc: float
    base_rate: float
    control: float
    bound: float

    @property
    def signed_words(self) -> str:
        """The words with their weights."""
        return "  ".join(
            f"{'+' if weight >= 0 else '-'}{text} {abs(weight):.2f}" for text, weight in self.words
        )


class Figures:
    """The tables `scores` and `output_scores` of a run, by layer and describer."""

    def __init__(self, run: Run, keys: ExplanationResults) -> None:
        self.run, self.keys = run, keys
        self._scores = _split(run.read(keys.scores, "scores"))
        outputs = keys.output_scores
        self._outputs = _split(run.read(outputs, "output_scores")) if outputs else {}
        self.by = next(iter(self._scores.values()))["by"][0].as_py()

    @property
    def describers(self) -> list[str]:
        """Their names, in the order of the pipeline."""
        return [*self.keys.describers]

    @property
    def has_outputs(self) -> bool:
        """Whether logits were watched."""
        return bool(self._outputs)

    def values(self, layer: int, describer: str, metric: str) -> PerNeuron:
        """A column of the tables, by neuron."""
        tables = self._outputs if metric == OUTPUT else self._scores
        found: PerNeuron = tables[layer, describer][metric].to_numpy().astype(np.float64)
        return found

    @cached_property
    def layers(self) -> list[Row]:
        """A row per layer and describer."""
        return [
            self._row(layer, (layer,), describer)
            for layer in self.keys.layers
            for describer in self.describers
        ]

    @cached_property
    def leaderboard(self) -> list[Row]:
        """A row per describer over all layers, the most true first."""
        rows = [self._row(-1, self.keys.layers, describer) for describer in self.describers]
        return sorted(rows, key=lambda row: -row.means["correlation"])

    @cached_property
    def cosy(self) -> list[CosyRow]:
        """CoSy's scores, a row per describer; none where nobody painted."""
        return cosy_rows(self.run, self.keys.cosy_scores, self.describers)

    def _row(self, name: int, layers: Sequence[int], describer: str) -> Row:
        metrics = (*METRICS, "base_rate", "auc", "known")
        wanted = (*metrics, OUTPUT) if self.has_outputs else metrics
        own = {metric: self._joined(layers, describer, metric) for metric in wanted}
        compared = [metric for metric in (*METRICS, OUTPUT) if metric in own]
        differences = {
            metric: own[metric] - self._joined(layers, CONTROL, metric) for metric in compared
        }
        return Row(
            name,
            describer,
            int(np.isfinite(own["correlation"]).sum()),
            {metric: finite_mean(values) for metric, values in own.items()},
            {metric: _finite_median(values) for metric, values in own.items()},
            {
                metric: estimate(values[np.isfinite(values)], DRAWS)
                for metric, values in differences.items()
                if describer != CONTROL and np.isfinite(values).any()
            },
        )

    def _joined(self, layers: Sequence[int], describer: str, metric: str) -> PerNeuron:
        return np.concatenate([self.values(layer, describer, metric) for layer in layers])

    @cached_property
    def _words(self) -> Mapping[tuple[int, int], tuple[tuple[str, float], ...]]:
        """The pursuit's words of every neuron that it says something of, the strongest first."""
        rows = self.run.read(self.keys.describers[PURSUIT], "neuron_words").sort_by("place")
        found: dict[tuple[int, int], tuple[tuple[str, float], ...]] = {}
        columns = (rows[name].to_pylist() for name in ("layer", "neuron", "text", "weight"))
        for layer, neuron, text, weight in zip(*columns, strict=True):
            found[layer, neuron] = (*found.get((layer, neuron), ()), (text, weight))
        return found

    def best_explained(self, count: int) -> list[tuple[int, int]]:
        """The neurons whose words surely tell most, one for each leading word.

        By the lower end of AUPRC's interval over its base rate: how many times better than chance pictures are ranked.
        Correlation would put words first that are true of many pictures.
        """
        best: dict[str, tuple[int, int]] = {}
        for place in self._by_lift():
            if place in self._words and len(best) < count:
                best.setdefault(self._words[place][0][0], place)
        return list(best.values())

    def _by_lift(self) -> list[tuple[int, int]]:
        """All neurons with a score, those of the greatest AUPRC over its base rate first."""
        found = []
        for layer in self.keys.layers:
            low, base = (self.values(layer, PURSUIT, name) for name in ("auprc_low", "base_rate"))
            lift = np.where(base > 0, low / np.maximum(base, 1e-12), -np.inf)
            found += [
                (-value, layer, neuron) for neuron, value in enumerate(lift) if np.isfinite(value)
            ]
        return [(layer, neuron) for _, layer, neuron in sorted(found)]

    def at_random(self, count: int, seed: int) -> list[tuple[int, int]]:
        """Neurons drawn from all that have a score."""
        known = [
            (layer, neuron)
            for layer in self.keys.layers
            for neuron, value in enumerate(self.values(layer, PURSUIT, "correlation"))
            if np.isfinite(value)
        ]
        dice = np.random.default_rng(seed)
        drawn = dice.choice(len(known), min(count, len(known)), replace=False)
        return [known[place] for place in sorted(drawn.tolist())]

    def cards(self, neurons: Sequence[tuple[int, int]]) -> list[Card]:
        """What is shown of neurons, in the order asked for."""
        return [self._card(*place) for place in neurons]

    def _card(self, layer: int, neuron: int) -> Card:
        def of(describer: str, metric: str) -> float:
            return float(self.values(layer, describer, metric)[neuron])

        return Card(
            layer,
            neuron,
            self._words.get((layer, neuron), ()),
            of(PURSUIT, "correlation"),
            of(PURSUIT, "correlation_low"),
            of(PURSUIT, "correlation_high"),
            of(PURSUIT, "auprc"),
            of(PURSUIT, "base_rate"),
            of(CONTROL, "correlation"),
            of(BOUND, "correlation"),
        )


def _split(table: pa.Table) -> dict[tuple[int, str], pa.Table]:
    found = {}
    for layer in pc.unique(table["layer"]).to_pylist():
        own = table.filter(pc.equal(table["layer"], layer))
        for describer in pc.unique(own["describer"]).to_pylist():
            rows = own.filter(pc.equal(own["describer"], describer))
            found[layer, describer] = rows.sort_by("neuron").combine_chunks()
    return found


def _finite_median(values: PerNeuron) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
