"""The curves and distributions of the evidence report, as PNG: the same bytes for the same figures.

Drawn through matplotlib's objects on its Agg canvas and under its own default settings, so that neither a display nor
a user's configuration matters. Every picture is 1000 pixels wide; bands are 95 % intervals.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clipneuron.evidence.accuracies import Accuracies
from clipneuron.evidence.claims import paper
from clipneuron.evidence.claims.grounds import Evidence
from clipneuron.evidence.claims.neurons import NORMAL_ENERGY
from clipneuron.evidence.distributions import PerNeuron, Variances, finite
from clipneuron.reports.charts import BLACK, BLUE, GREEN, ORANGE, PINK, RED, SKY, chart
from clipneuron.reports.estimates import Estimate
from clipneuron.tables.ablations import NONE, Ablation

LAYER_CURVES = {
    "all": ("w/o all neurons", RED, "o"),
    "large": ("w/o large norms", ORANGE, "s"),
    "small": ("w/o small norms", BLUE, "^"),
    "pc": ("from PC 1", GREEN, "D"),
}
POOL_COLOURS = (BLUE, ORANGE, PINK, SKY, RED)

Drawn = dict[str, tuple[bytes, str]]
Curve = Sequence[tuple[float, Estimate]]


def drawn(evidence: Evidence) -> Drawn:
    """Every picture that the evidence has data for: file name -> PNG and the words below it."""
    found, spread = evidence.accuracies, evidence.distributions
    pictures: Drawn = {}
    note = evidence.setting.note
    if found.layers("all"):
        words = "Accuracy with the second-order effects of one layer replaced (Fig. 3 and 9)"
        pictures["fig3.png"] = layer_curves(found, note), words
    for layer in evidence.setting.detail_layers:
        if found.texts(layer):
            words = f"Accuracy with layer {layer} reconstructed from texts (Fig. 4)"
            pictures[f"fig4-layer-{layer}.png"] = text_curves(found, layer, note), words
    if found.layers("attention"):
        words = "Accuracy with first-order effects at their means, from the first layer on (Fig. 10 and 11)"
        pictures["fig10.png"] = first_order_curves(found, note), words
    if spread.heads.size:
        words = "How large the first-order effects of attention heads are"
        pictures["heads.png"] = head_sizes(spread.heads, note), words
    return pictures | _distributions(evidence, note)


def _distributions(evidence: Evidence, note: str) -> Drawn:
    spread = evidence.distributions
    pictures: Drawn = {}
    if spread.participation:
        words = (
            "On how few pictures neurons matter: above, the energy in pictures of the evaluation that are above D's "
            "98 % quantile; below, the effective share of D's pictures"
        )
        pictures["sparsity.png"] = sparsity(spread.energy, spread.participation, note), words
    if spread.explained:
        words = "How one-dimensional the large second-order effects of neurons are"
        pictures["rank.png"] = rank(spread.explained, note), words
    for layer, variances in spread.indirect.items():
        words = f"Variance along the first direction, neuron by neuron, layer {layer} (Table 1)"
        pictures[f"indirect-layer-{layer}.png"] = indirect_variances(variances, layer, note), words
    return pictures


def layer_curves(found: Accuracies, note: str) -> bytes:
    """Accuracy per layer with all, large or small effects at their means, or along one direction (Fig. 3)."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _baseline(axes, found)
        for name, (label, colour, marker) in LAYER_CURVES.items():
            _curve(axes, _per_layer(found, name), label, colour, marker)
        _finish(axes, "layer", "accuracy (%)", "Second-order effects replaced, one layer at a time")

    return chart(draw, note)


def text_curves(found: Accuracies, layer: int, note: str) -> bytes:
    """Accuracy against the number of texts per neuron, by pool (Fig. 4)."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _baseline(axes, found)
        _level(axes, found.accuracy(Ablation("pc", layer)), "from PC 1", GREEN)
        _level(axes, found.accuracy(Ablation("all", layer)), "w/o all neurons", RED)
        sizes: set[int] = set()
        for place, (pool, keys) in enumerate(found.texts(layer).items()):
            known = [(m, found.accuracy(key)) for m, key in keys.items()]
            colour = POOL_COLOURS[place % len(POOL_COLOURS)]
            _curve(axes, [(m, a) for m, a in known if a], pool, colour, "osD^v"[place % 5])
            sizes |= keys.keys()
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(sizes), [str(size) for size in sorted(sizes)])
        title = f"Layer {layer} reconstructed from sparse sums of texts"
        _finish(axes, "texts per neuron, m (log scale)", "accuracy (%)", title, whole=False)

    return chart(draw, note)


def first_order_curves(found: Accuracies, note: str) -> bytes:
    """Accuracy with the direct effects of attention layers 0 to l at their means, and head by head (Fig. 10, 11)."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _baseline(axes, found)
        heads = sorted((k for k in found.outcomes if k.name == "heads"), key=lambda k: k[1:])
        if heads:
            each = 1 + max(key.head for key in heads)
            # The last head of layer l ends where the curve of layers has its point l.
            places = [key.layer - 1 + (key.head + 1) / each for key in heads]
            known = [(p, found.accuracy(key)) for p, key in zip(places, heads, strict=True)]
            _curve(axes, [(p, a) for p, a in known if a], "head after head", SKY, "")
        _curve(axes, _per_layer(found, "attention"), "layer after layer", BLUE, "o")
        title = "First-order effects of attention layers 0 to l at their means"
        _finish(axes, "last attention layer that is at its mean, l", "accuracy (%)", title)

    return chart(draw, note)


def head_sizes(sizes: PerNeuron, note: str) -> bytes:
    """The root mean square size of first-order effects [layer, head] as a heat map."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        image = axes.imshow(sizes, cmap="viridis", vmin=0, aspect="auto", origin="lower")
        bar = figure.colorbar(image, ax=axes)
        bar.set_label("root mean square of |effect - mean over D|")
        axes.set_title("First-order effects of attention heads")
        axes.set_xlabel("head")
        axes.set_ylabel("attention layer")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(_whole_numbers())

    return chart(draw, note)


def sparsity(
    energy: Mapping[int, PerNeuron], participation: Mapping[int, PerNeuron], note: str
) -> bytes:
    """Distributions over neurons, per layer, of energy in few pictures and of the effective share (two panels)."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2 if energy else 1, squeeze=False, sharex=True)[:, 0]
        if energy:
            _violins(panels[0], energy, SKY)
            panels[0].axhline(
                100 * NORMAL_ENERGY, color=BLACK, linestyle="--", label="normal distribution"
            )
            title = "Energy in the evaluation's pictures above D's 98 % quantile"
            _finish(panels[0], "", "energy (%)", title, columns=3)
        _violins(panels[-1], participation, ORANGE)
        _finish(
            panels[-1],
            "layer",
            "pictures (%)",
            "Effective share of D's pictures, no threshold",
            columns=2,
        )

    return chart(draw, note, height=8.0 if energy else 5.0)


def rank(explained: Mapping[int, PerNeuron], note: str) -> bytes:
    """Distributions over neurons, per layer, of the variance along the first direction."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _violins(axes, explained, GREEN)
        label = "the paper's mean, ViT-B-32 layer 9"
        axes.axhline(100 * paper.EXPLAINED, color=BLACK, linestyle="--", label=label)
        axes.set_ylim(0, 110)
        title = "Variance of large effects along PC 1"
        _finish(axes, "layer", "explained variance (%)", title, columns=3)

    return chart(draw, note)


def indirect_variances(found: Variances, layer: int, note: str) -> bytes:
    """Explained variance of indirect against second-order effects, a point per neuron (Table 1)."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color="0.6", linestyle=":", label="equal")
        kinds = (
            ("large effects", BLUE, found.second_order, found.indirect),
            ("all effects", ORANGE, found.second_order_all, found.indirect_all),
        )
        for label, colour, second, indirect in kinds:
            axes.scatter(second * 100, indirect * 100, s=18, alpha=0.55, color=colour, label=label)
            middle = np.nanmean(second) * 100, np.nanmean(indirect) * 100
            axes.plot(*middle, "P", ms=14, color=colour, mec=BLACK, label=f"mean, {label}")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        title = f"Variance along PC 1, layer {layer}: indirect against second-order effects"
        _finish(axes, "second order (%)", "indirect (%)", title, whole=False)

    return chart(draw, note)


def _per_layer(found: Accuracies, name: str) -> Curve:
    known = [(layer, found.accuracy(Ablation(name, layer))) for layer in found.layers(name)]
    return [(layer, accuracy) for layer, accuracy in known if accuracy]


def _curve(axes: Axes, points: Curve, label: str, colour: str, marker: str) -> None:
    if not points:
        return
    places = [place for place, _ in points]
    middle, low, high = (100 * np.array([p[n] for _, p in points]) for n in range(3))
    axes.fill_between(places, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(places, middle, color=colour, marker=marker, markersize=5, label=label)


def _baseline(axes: Axes, found: Accuracies) -> None:
    _level(axes, found.accuracy(NONE), "baseline", BLACK)


def _level(axes: Axes, figure: Estimate | None, label: str, colour: str) -> None:
    if figure:
        axes.axhspan(figure.low * 100, figure.high * 100, color=colour, alpha=0.07, linewidth=0)
        axes.axhline(figure.value * 100, color=colour, linestyle="--", linewidth=1.2, label=label)


def _violins(axes: Axes, by_layer: Mapping[int, PerNeuron], colour: str) -> None:
    known = {layer: finite(values) * 100 for layer, values in by_layer.items()}
    known = {layer: values for layer, values in known.items() if len(values)}
    if not known:
        return
    parts: dict[str, Any] = axes.violinplot(
        list(known.values()), list(known), widths=0.8, showextrema=False, showmedians=True
    )
    for body in parts["bodies"]:
        body.set(facecolor=colour, edgecolor=colour, alpha=0.5)
    parts["cmedians"].set(color=BLACK, label="median")
    means = [values.mean() for values in known.values()]
    axes.plot(list(known), means, "o", color=BLACK, markersize=4, label="mean")
    axes.set_ylim(0, 1.2 * (max(values.max() for values in known.values()) or 1))


def _whole_numbers() -> MaxNLocator:
    # A mark for every layer or head, as long as they can be told apart.
    return MaxNLocator(nbins=26, steps=[1, 2, 5, 10], integer=True)


def _finish(
    axes: Axes, x: str, y: str, title: str, *, whole: bool = True, columns: int = 1
) -> None:
    """Titles, grid and legend; `whole` for an axis of layers, which has whole numbers only."""
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25)
    if whole:
        axes.xaxis.set_major_locator(_whole_numbers())
    axes.legend(frameon=False, loc="best", ncols=columns)
