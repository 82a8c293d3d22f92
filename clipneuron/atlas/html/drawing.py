"""A neuron's card as one PNG, for slides and papers: words, pictures with heat, and charts."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib import rc
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from clipneuron.atlas.cards import Described, NeuronCard, Shown
from clipneuron.atlas.html import wording
from clipneuron.atlas.html.charts.heat import heat_png
from clipneuron.atlas.html.charts.svg import decades, number
from clipneuron.atlas.html.letters import fonts_for
from clipneuron.atlas.html.links import Site
from clipneuron.reports.charts import BLUE, RED, chart
from clipneuron.reports.printing import one_line

_GREY, _EMPTY, _FAINT = "#b9b2a4", "#f0ede6", "0.35"
_PICTURES = 10
_LETTERS = 30
"""Of a word that fit beside its bar."""
_LINE = 115
"""Letters of a line across the drawing."""

Part = tuple[float, Callable[[SubFigure], None]]
"""A strip of the drawing: its height in inches and what draws it."""


def card_png(card: NeuronCard, site: Site, tiles: Mapping[str, bytes]) -> bytes:
    """The card as PNG, 1000 pixels wide; the same bytes for the same card.

    tiles: WebP bytes by `Tile.path`; a picture that is not among them is an empty frame. Warns of letters that no font
    of this machine has: they are boxes.
    """
    parts: list[Part] = [(1.0, lambda place: _heading(place, card))]
    pools = [one for one in card.pools if one.words][:2]
    if pools:
        rows = max(len(one.words) for one in pools)
        parts.append((0.6 + 0.27 * rows, lambda place: _pools(place, pools)))
    if card.top:
        shown = card.top[:_PICTURES]
        parts.append((1.45, lambda place: _pictures(place, shown, tiles)))
    charts = _charts(card)
    if charts:
        parts.append((2.1, lambda place: _in_a_row(place, charts)))

    note = " · ".join(map(one_line, filter(None, [site.title, site.footer])))
    words = (text for one in pools for text in (one.pool, *(word.text for word in one.words)))
    fonts = fonts_for(one_line("".join([note, wording.lead(card), *words])))

    def draw(figure: Figure) -> None:
        if len(fonts.families) > 1:
            rc("font", family=[*fonts.families])  # within the chart's settings
        heights = [height for height, _ in parts]
        strips = figure.subfigures(len(parts), 1, squeeze=False, height_ratios=heights)
        for strip, (_, drawn) in zip(strips[:, 0], parts, strict=True):
            drawn(strip)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of each letter, and each time
        drawn = chart(draw, note, sum(height for height, _ in parts) + 0.3)
    if fonts.missing:
        warnings.warn(
            f"no font of this machine has {one_line(fonts.missing)}, which are boxes in the picture: install one that "
            "does (such as Noto Sans CJK), or write .html",
            stacklevel=2,
        )
    return drawn


def _heading(place: SubFigure, card: NeuronCard) -> None:
    name = wording.name((card.layer, card.neuron))
    lead = fill(one_line(wording.lead(card)), _LINE, max_lines=2, placeholder=" …")
    _text(place, 0.01, 0.88, f"Neuron {name}", fontsize=19, fontweight="bold")
    _text(place, 0.01, 0.42, lead, fontsize=11, color=_FAINT)


def _pools(place: SubFigure, pools: Sequence[Described]) -> None:
    for axes, one in zip(_axes(place, len(pools)), pools, strict=True):
        weights = [word.weight for word in one.words]
        axes.barh(range(len(weights)), weights, color=[RED if w >= 0 else BLUE for w in weights])
        names = [_short(word.text) for word in one.words]
        axes.set_yticks(range(len(names)), names, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.axvline(0, color=_GREY, linewidth=0.8)
        score = f", {one.score.metric} {wording.decimals(one.score.value)}" if one.score else ""
        _title(axes, f"{one.pool}{score}")


def _pictures(place: SubFigure, shown: Sequence[Shown], tiles: Mapping[str, bytes]) -> None:
    largest = max(abs(one.effect) for one in shown)
    for axes, one in zip(_axes(place, _PICTURES), shown, strict=False):
        tile = one.picture.tile
        if tile and tile.path in tiles:
            # Grey under heat, whose colours are else taken for the picture's own.
            seen = _opened(tiles[tile.path], "L" if one.heat else "RGB").convert("RGB")
            axes.imshow(seen, extent=(0, 1, 0, 1))
        if one.heat:
            heat = _opened(heat_png(one.heat), "RGBA")
            axes.imshow(heat, extent=(0, 1, 0, 1), interpolation="bilinear")
        axes.set_facecolor(_EMPTY)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
        axes.spines[:].set_visible(False)
        colour = BLUE if one.effect < 0 else "black"
        axes.set_xlabel(wording.signed(one.effect, largest), fontsize=10, color=colour)
    for axes in place.axes[len(shown) :]:
        axes.set_axis_off()


def _charts(card: NeuronCard) -> list[Callable[[Axes], None]]:
    found: list[Callable[[Axes], None]] = []
    if card.histogram:
        found.append(lambda axes: _histogram(axes, card))
    if card.scree:
        found.append(lambda axes: _scree(axes, card.scree))
    if card.heads:
        found.append(lambda axes: _heads(axes, card))
    return found


def _in_a_row(place: SubFigure, charts: Sequence[Callable[[Axes], None]]) -> None:
    for axes, drawn in zip(_axes(place, len(charts)), charts, strict=True):
        drawn(axes)
        axes.tick_params(labelsize=9)


def _histogram(axes: Axes, card: NeuronCard) -> None:
    found = card.histogram
    assert found is not None
    full = [place for place, count in enumerate(found.counts) if count] or [0]
    kept = slice(full[0], full[-1] + 1)
    counts, edges = found.counts[kept], found.edges[full[0] : full[-1] + 2]
    axes.stairs(counts, edges, fill=True, color=_GREY)
    if edges[0] > 0 and edges[-1] > 10 * edges[0]:
        axes.set_xscale("log")
        marks = decades(edges[0], edges[-1])
        axes.set_xticks(marks, [number(mark) for mark in marks])
        axes.minorticks_off()
    if found.threshold is not None:
        axes.axvline(found.threshold, color=RED, linestyle="--", linewidth=1)
    _title(axes, "pictures by length of the effect")


def _scree(axes: Axes, shares: Sequence[float]) -> None:
    colours = [RED, *[_GREY] * (len(shares) - 1)]
    axes.bar(range(1, len(shares) + 1), [100 * share for share in shares], color=colours)
    axes.set_ylim(0, 100)
    _title(axes, "variance by direction, %")


def _heads(axes: Axes, card: NeuronCard) -> None:
    heads = sorted(card.heads, key=lambda head: (head.layer, head.head))
    shares = [100 * head.share for head in heads]
    axes.bar(range(len(heads)), shares, color=[RED if share >= 0 else BLUE for share in shares])
    layers = sorted({head.layer for head in heads})
    middles = [np.mean([n for n, h in enumerate(heads) if h.layer == layer]) for layer in layers]
    every = ceil(len(layers) / 8)
    axes.set_xticks(middles[::every], [str(layer) for layer in layers[::every]])
    axes.axhline(0, color=_FAINT, linewidth=0.8)
    _title(axes, "share of the effect by later head, %")


def _axes(place: SubFigure, count: int) -> Sequence[Axes]:
    found = place.subplots(1, count, squeeze=False)[0]
    return list(found)


def _title(axes: Axes, words: str) -> None:
    axes.set_title(_short(words, 60), fontsize=10, loc="left", parse_math=False)


def _text(place: SubFigure, x: float, y: float, words: str, **how: Any) -> None:
    place.text(x, y, words, va="top", parse_math=False, **how)


def _short(text: str, most: int = _LETTERS) -> str:
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def _opened(data: bytes, mode: str) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert(mode)
