"""The neurons worth showing first, with their words and top pictures, read from a run's tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from clipneuron.store.store import Run
from clipneuron.sweep.results import SweepResults


@dataclass(frozen=True)
class NeuronCard:
    """What is shown of one neuron.

    participation: effective share of pictures that carry its effect, (sum x^2)^2 / (n sum x^4) of centred norms x.
    share: share of pictures at or above the significance threshold (the norm of its last top picture).
    words: (text, weight), largest absolute weight first.
    """

    layer: int
    neuron: int
    participation: float
    explained_variance: float
    share: float
    threshold: float
    top_images: tuple[int, ...]
    top_norms: tuple[float, ...]
    top_projections: tuple[float, ...]
    words: tuple[tuple[str, float], ...]
    note: str = ""
    """Why its direction means nothing, as the table `directions` says it."""

    @property
    def explained(self) -> str:
        """The share of variance that its direction explains, or the word for why it means nothing."""
        return self.note.partition(":")[0] or f"{self.explained_variance:.1%}"

    @property
    def signed_words(self) -> str:
        """The words with the signs of their weights, as in Table 2."""
        return "  ".join(f"{'+' if weight >= 0 else '-'}{text}" for text, weight in self.words)


def directions_of(run: Run, keys: SweepResults, layer: int) -> pa.Table:
    """The rows of a layer in the table `directions`, by neuron."""
    own = [("layer", "==", layer)]
    return run.read(keys.directions, "directions", filters=own).sort_by("neuron")


def selective_neurons(
    run: Run,
    keys: SweepResults,
    layer: int,
    count: int,
    directions: pa.Table | None = None,
) -> list[NeuronCard]:
    """The `count` neurons of a layer with the lowest participation among those whose effect is not small.

    Small: a threshold below the layer's median, which leaves out neurons that are selective because they do nothing.
    Those with a note come last.
    """
    table = directions or directions_of(run, keys, layer)
    thresholds = table["threshold"].to_numpy()
    participation = table["participation"].to_numpy()
    speaks = np.array([not note for note in notes_of(table)])
    candidates = np.where(speaks & (thresholds >= np.median(thresholds)), participation, np.inf)
    chosen = np.argsort(candidates, kind="stable")[:count]
    return neuron_cards(run, keys, layer, [int(neuron) for neuron in chosen], table)


def neuron_cards(
    run: Run,
    keys: SweepResults,
    layer: int,
    neurons: Sequence[int],
    directions: pa.Table | None = None,
) -> list[NeuronCard]:
    """Cards of chosen neurons of a layer, in the order asked for; without words where `without_words` says why."""
    own = [("layer", "==", layer), ("neuron", "in", list(neurons))]
    table = directions or run.read(keys.directions, "directions", filters=own)
    rows = {row: place for place, row in enumerate(table["neuron"].to_pylist())}
    spoken = {} if without_words(run, keys.descriptions) else _words(run, keys.descriptions, own)
    return [
        _card(table.slice(rows[neuron], 1).to_pylist()[0], spoken.get(neuron, ()))
        for neuron in neurons
    ]


def notes_of(directions: pa.Table) -> list[str]:
    """The notes of a table `directions`, "" where there is none; runs of earlier versions have none at all."""
    if "note" not in directions.column_names:
        return [""] * directions.num_rows
    return [note or "" for note in directions["note"].to_pylist()]


def without_words(run: Run, descriptions: str) -> str:
    """Why a stage has no words of short descriptions, in a sentence; "" where it has them. Raises StoreError."""
    commits = run.committed(descriptions).values()
    if all(any(item.table == "neuron_words" for item in commit.objects) for commit in commits):
        return ""
    return (
        f"{descriptions} of run {run.name} is of an earlier version, which stored long descriptions alone, whose "
        "strongest texts are not the neuron's words: give the run's command once more, which describes the neurons "
        "anew without sweeping again"
    )


def _words(
    run: Run, stage: str, own: list[tuple[str, str, Any]]
) -> Mapping[int, tuple[tuple[str, float], ...]]:
    table = run.read(stage, "neuron_words", filters=own).sort_by("place")
    found: dict[int, list[tuple[str, float]]] = {}
    columns = (table[name].to_pylist() for name in ("neuron", "text", "weight"))
    for neuron, text, weight in zip(*columns, strict=True):
        found.setdefault(neuron, []).append((text, weight))
    return {neuron: tuple(spoken) for neuron, spoken in found.items()}


def _card(row: Mapping[str, Any], words: Sequence[tuple[str, float]]) -> NeuronCard:
    count = sum(image >= 0 for image in row["top_images"])
    return NeuronCard(
        layer=row["layer"],
        neuron=row["neuron"],
        participation=row["participation"],
        explained_variance=row["explained_variance"],
        share=row["share"],
        threshold=row["threshold"],
        top_images=tuple(row["top_images"][:count]),
        top_norms=tuple(row["top_norms"][:count]),
        top_projections=tuple(row["top_projections"][:count]),
        words=tuple(words),
        note=row.get("note") or "",
    )
