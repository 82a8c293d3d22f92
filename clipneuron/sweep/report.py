"""The tables and the picture that end a run: what was done, what each layer is like, its most selective neurons."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clipneuron.reports.drawing import png
from clipneuron.reports.markup import terminal
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import NeuronCard, directions_of, notes_of, selective_neurons
from clipneuron.sweep.results import SweepResults
from clipneuron.sweep.sheet import neurons_sheet

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class LayerFigures:
    """What one layer is like; medians over neurons.

    dead, no_variance: neurons that the table `directions` has these notes on.
    """

    layer: int
    neurons: int
    explained_variance: float
    participation: float
    threshold: float
    dead: int = 0
    no_variance: int = 0


def layer_figures(
    run: Run, layer: int, keys: SweepResults, directions: pa.Table | None = None
) -> LayerFigures:
    """The figures of one layer, whose `directions` may be at hand."""
    columns = ["explained_variance", "participation", "threshold"]
    table = directions or directions_of(run, keys, layer)
    notes = Counter(note.partition(":")[0] for note in notes_of(table))
    medians = {name: _median(table[name].to_numpy()) for name in columns}
    return LayerFigures(
        layer=layer,
        neurons=table.num_rows,
        dead=notes["dead"],
        no_variance=notes["no variance"],
        **medians,
    )


def _median(values: NDArray[np.floating[Any]]) -> float:
    """Of the neurons that have a figure: a dead one has no share, for instance."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else nan


def layers_table(figures: Iterable[LayerFigures]) -> "Table":
    """A row per layer."""
    figures = list(figures)
    headings = ("layer", "neurons", "PC 1 explains", "effective share", "threshold")
    rows = map(_layer_cells, figures)
    caption = "\n".join(filter(None, map(_silence, figures)))
    title = "Layers (medians over neurons)"
    spare = ("threshold", "effective share")
    return terminal(title, headings, rows, right=headings, caption=caption, spare=spare)


def _silence(row: LayerFigures) -> str:
    """What is to be said of a layer's neurons whose directions mean nothing, "" where there are none."""
    counts = {"dead": row.dead, "without variance": row.no_variance}
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"layer {row.layer}: {said} of {row.neurons:,} neurons" if said else ""


def _layer_cells(row: LayerFigures) -> tuple[str, ...]:
    return (
        f"{row.layer}",
        f"{row.neurons:,}",
        f"{row.explained_variance:.1%}" if 2 * row.no_variance < row.neurons else "no variance",
        f"{row.participation:.1%}",
        f"{row.threshold:.4f}",
    )


def neurons_table(cards: Sequence[NeuronCard]) -> "Table":
    """A row per neuron, with its top words and their signs; a line between layers."""
    right = ("layer", "neuron", "PC 1 explains", "effective share", "above threshold")
    rows = [
        (
            f"{card.layer}",
            f"#{card.neuron}",
            card.explained,
            f"{card.participation:.1%}",
            f"{card.share:.1%}",
            card.signed_words,
        )
        for card in cards
    ]
    breaks = [n for n in range(1, len(cards)) if cards[n].layer != cards[n - 1].layer]
    headings = (*right, "top words (signed)")
    spare = ("above threshold", "effective share", "PC 1 explains")
    title = "Most selective neurons"
    return terminal(title, headings, rows, right=right, sections=breaks, spare=spare)


def best_of(cards: Sequence[NeuronCard], count: int) -> list[NeuronCard]:
    """The neurons to show as pictures: taken from the layers in turn, from the last layer back."""
    layers = sorted({card.layer for card in cards}, reverse=True)
    queues = [[card for card in cards if card.layer == layer] for layer in layers]
    turns = [queue[turn] for turn in range(len(cards)) for queue in queues if turn < len(queue)]
    return sorted(turns[:count], key=lambda card: (-card.layer, card.participation))


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value
        for name, value in row.items()
    }


@dataclass(frozen=True)
class Findings:
    """What a finished run says, for a terminal, a file or a program."""

    layers: list[LayerFigures]
    cards: list[NeuronCard]

    @classmethod
    def of(cls, run: Run, results: SweepResults, per_layer: int) -> "Findings":
        """Read a finished run."""
        figures, cards = list[LayerFigures](), list[NeuronCard]()
        for layer in results.layers:
            directions = directions_of(run, results, layer)
            figures.append(layer_figures(run, layer, results, directions))
            cards += selective_neurons(run, results, layer, per_layer, directions=directions)
        return cls(figures, cards)

    def tables(self) -> "list[Table]":
        """Both tables for a terminal."""
        return [layers_table(self.layers), neurons_table(self.cards)]

    def as_json(self) -> dict[str, object]:
        """Both tables as plain data; what is unknown is None, since JSON has no NaN."""
        return {
            "layers": [_known(asdict(row)) for row in self.layers],
            "neurons": [_known(asdict(card)) for card in self.cards],
        }

    def sheet(self, read: Callable[[int], bytes], title: str, rows: int = 12) -> bytes:
        """The contact sheet as PNG."""
        return png(neurons_sheet(best_of(self.cards, rows), read, title))
