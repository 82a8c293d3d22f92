"""The charts of a comparison, as PNG: the same bytes for the same figures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clipneuron.operations.compare.accuracies import AccuracyChange
from clipneuron.operations.compare.alerts import named
from clipneuron.operations.compare.arrays import floats
from clipneuron.operations.compare.comparison import Comparison
from clipneuron.operations.compare.sides import Floats
from clipneuron.reports.charts import BLACK, BLUE, GREEN, ORANGE, SKY, chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 24


def drawn(found: Comparison, note: str) -> dict[str, tuple[bytes, str]]:
    """Every chart that there is data for: file name -> PNG and the words below it."""
    pictures = {
        "cosines.png": (
            _cosines(found, note),
            "Which share of a layer's neurons has at most this cosine between A and B",
        ),
        "layers.png": (
            _layers(found, note),
            "Explained variance and norms, layer by layer: medians, with the middle half",
        ),
    }
    if found.accuracies:
        pictures["accuracies.png"] = (
            _accuracies(found.accuracies, note),
            "Accuracies under the ablations that changed them most",
        )
    return pictures


def _cosines(found: Comparison, note: str) -> bytes:
    layers, nearness = found.neurons["layer"].to_numpy(), found.nearness

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        colours = _shades(len(found.layers))
        for layer, colour in zip(found.layers, colours, strict=True):
            values = np.sort(nearness[layers == layer])
            places = np.unique(np.linspace(0, len(values) - 1, 512).astype(int))
            axes.plot(
                values[places], (places + 1) / len(values), color=colour, label=f"layer {layer}"
            )
        axes.set_yscale("log")
        axes.set_xlabel("cosine between the directions in A and B")
        axes.set_ylabel("share of the neurons (log scale)")
        axes.set_title("How far directions moved")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, loc="best", ncols=2, fontsize=9)

    return chart(draw, note)


def _layers(found: Comparison, note: str) -> bytes:
    layers = found.neurons["layer"].to_numpy()

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(2, 1, sharex=True)
        for place, (name, label) in enumerate(
            (("explained_variance", "explained variance"), ("mean_norm", "mean |phi - b|"))
        ):
            for side, colour, shift in (("a", BLUE, -0.1), ("b", ORANGE, 0.1)):
                values = floats(found.neurons[f"{name}_{side}"])
                spread = [_quartiles(values[layers == layer]) for layer in found.layers]
                low, middle, high = np.transpose(spread)
                where = np.array(found.layers) + shift
                panels[place].errorbar(
                    where,
                    middle,
                    (middle - low, high - middle),
                    fmt="o",
                    color=colour,
                    label=side.upper(),
                )
            panels[place].set_ylabel(label)
            panels[place].grid(alpha=0.25)
        panels[0].legend(frameon=False)
        panels[0].set_title("Medians over the neurons of a layer, with the middle half")
        panels[1].set_xlabel("layer")
        panels[1].set_xticks(found.layers)

    return chart(draw, note, height=7.0)


def _accuracies(changes: Sequence[AccuracyChange], note: str) -> bytes:
    largest = sorted(changes, key=lambda change: -abs(change.difference))[:_SHOWN][::-1]

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        place = np.arange(len(largest))
        axes.hlines(
            place, [100 * one.a for one in largest], [100 * one.b for one in largest], color=SKY
        )
        axes.plot([100 * one.a for one in largest], place, "o", color=BLUE, label="A")
        axes.plot([100 * one.b for one in largest], place, "o", color=ORANGE, label="B")
        axes.set_yticks(place, [named(one.ablation) for one in largest], parse_math=False)
        axes.set_xlabel("accuracy (%)")
        axes.set_title("Accuracies that changed most")
        axes.grid(alpha=0.25, axis="x")
        axes.legend(frameon=False)

    return chart(draw, note, height=2.0 + 0.3 * len(largest))


def matches(similarity: Floats, mutual: NDArray[np.bool_], by: str, note: str) -> bytes:
    """How near the best matches are, mutual ones and others."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        edges = np.linspace(min(0.0, float(similarity.min(initial=0))), 1, 81).tolist()
        for chosen, colour, label in (
            (mutual, GREEN, "best match of each other"),
            (~mutual, BLACK, "others"),
        ):
            axes.hist(
                similarity[chosen], edges, histtype="step", color=colour, label=label, log=True
            )
        axes.set_xlabel(f"similarity to the best match, by {by}")
        axes.set_ylabel("neurons of A (log scale)")
        axes.set_title("How near the best matches are")
        axes.legend(frameon=False)

    return chart(draw, note)


def _quartiles(values: Floats) -> tuple[float, float, float]:
    known = values[np.isfinite(values)]
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75)) if len(known) else (np.nan,) * 3
    return float(low), float(middle), float(high)


def _shades(count: int) -> list[tuple[float, ...]]:
    from matplotlib import colormaps

    return [tuple(colormaps["viridis"](place)) for place in np.linspace(0, 0.9, count)]
