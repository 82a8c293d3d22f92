"""How pictures are spread over norms, neurons of a layer over a figure, and variance over directions."""

from collections.abc import Callable, Sequence
from math import log, sqrt

from markupsafe import Markup

from clipneuron.atlas.cards import Distribution, Histogram
from clipneuron.atlas.html.charts.svg import (
    columns,
    decades,
    image,
    label,
    line,
    number,
    ticks,
)

_WIDTH, _HEIGHT = 380.0, 170.0
_LEFT, _RIGHT, _TOP, _FOOT = 38.0, 8.0, 18.0, 22.0
_BASE = _HEIGHT - _FOOT
_LOGARITHMIC = 3.0
"""Widths of the last and the first bin: beyond this ratio, bins are logarithmic and so is their axis."""


def histogram(found: Histogram) -> Markup:
    """Pictures by |phi - b|; those that reach the threshold stand out. Heights are square roots of counts."""
    edges, counts = _trimmed(found.edges, found.counts)
    total = sum(counts)
    words = f"Histogram of the effect's norm over {total:,} pictures, from {number(edges[0])} to {number(edges[-1])}"
    if found.threshold is None:
        return _chart(edges, counts, edges[-1], (), words)
    words += f"; threshold {number(found.threshold)}"
    mark = (found.threshold, f"threshold {number(found.threshold)}")
    return _chart(edges, counts, found.threshold, (mark,), words)


def distribution(found: Distribution) -> Markup:
    """Neurons of a layer by a figure, with their median."""
    edges, counts = _trimmed(found.edges, found.counts)
    median = f"median {number(found.median)}"
    ends = f"from {number(edges[0])} to {number(edges[-1])}"
    words = f"{found.name}: {sum(counts):,} neurons {ends}, {median}"
    mark = (found.median, median)
    return _chart(edges, counts, edges[-1], (mark,), words)


def scree(shares: Sequence[float]) -> Markup:
    """Shares of variance along the first principal directions; the neuron's own is the first."""
    width = (_WIDTH - _LEFT - _RIGHT) / max(len(shares), 1)
    tall = _BASE - _TOP
    parts = [
        line(_LEFT, _BASE - tall * level, _WIDTH - _RIGHT, _BASE - tall * level, "grid")
        for level in (0.5, 1.0)
    ]
    parts += [label(_LEFT - 5, _BASE - tall * y + 4, f"{y:.0%}", "end") for y in (0, 0.5, 1.0)]
    boxes = [
        (_LEFT + place * width + width * 0.1, width * 0.8, tall * max(0.0, share))
        for place, share in enumerate(shares)
    ]
    parts += [columns(boxes[:1], _BASE, "towards"), columns(boxes[1:], _BASE, "plain")]
    parts += [line(_LEFT, _BASE, _WIDTH - _RIGHT, _BASE)]
    for place in range(len(shares)):
        middle = _LEFT + (place + 0.5) * width
        parts.append(label(middle, _HEIGHT - 6, str(place + 1), "middle"))
    if shares:
        top = boxes[0]
        parts.append(
            label(top[0] + top[1] / 2, _BASE - top[2] - 5, f"{shares[0]:.0%}", "middle strong")
        )
    first = ", ".join(f"{share:.0%}" for share in shares[:5])
    return image(
        _WIDTH,
        _HEIGHT,
        f"Shares of variance along the principal directions: {first}",
        parts,
        "chart",
    )


def _chart(
    edges: Sequence[float],
    counts: Sequence[int],
    reach: float,
    marks: Sequence[tuple[float, str]],
    words: str,
) -> Markup:
    """Columns over bins; those whose middle is at `reach` or above have the colour of what matters."""
    across = _axis(edges)
    high = sqrt(max(counts) or 1)
    tall = _BASE - _TOP

    def box(place: int) -> tuple[float, float, float]:
        left, right = across(edges[place]), across(edges[place + 1])
        return left, max(right - left - 0.5, 0.4), tall * sqrt(counts[place]) / high

    beyond = [
        place for place in range(len(counts)) if (edges[place] + edges[place + 1]) / 2 >= reach
    ]
    below = [place for place in range(len(counts)) if place not in set(beyond)]
    parts = []
    for level in _levels(max(counts)):
        y = _BASE - tall * sqrt(level) / high
        parts += [
            line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"),
            label(_LEFT - 5, y + 4, number(level), "end"),
        ]
    parts += [columns(map(box, below), _BASE, "plain"), columns(map(box, beyond), _BASE, "towards")]
    parts.append(line(_LEFT, _BASE, _WIDTH - _RIGHT, _BASE))
    parts += [label(across(x), _HEIGHT - 6, number(x), "middle") for x in _ticks(edges)]
    for at, said in marks:
        x = across(min(max(at, edges[0]), edges[-1]))
        anchor = "end" if x > _WIDTH * 0.6 else ""
        parts.append(line(x, _TOP - 6, x, _BASE, "mark"))
        parts.append(label(x - 5 if anchor else x + 5, _TOP - 2, said, anchor))
    return image(_WIDTH, _HEIGHT, words, parts, "chart")


def _levels(most: int) -> list[float]:
    """Counts that get a line: few, because square roots crowd at the top."""
    return [level for level in ticks(0, most, 4) if level >= 1 or level == 0][:4] if most else []


def _logarithmic(edges: Sequence[float]) -> bool:
    first, last = edges[1] - edges[0], edges[-1] - edges[-2]
    return edges[0] > 0 and last > _LOGARITHMIC * first


def _axis(edges: Sequence[float]) -> Callable[[float], float]:
    scale: Callable[[float], float] = log if _logarithmic(edges) else float
    low, high = scale(edges[0]), scale(edges[-1])
    span = (high - low) or 1.0
    return lambda value: _LEFT + (scale(value) - low) / span * (_WIDTH - _LEFT - _RIGHT)


def _ticks(edges: Sequence[float]) -> list[float]:
    low, high = edges[0], edges[-1]
    return decades(low, high) if _logarithmic(edges) else ticks(low, high, 6)


def _trimmed(
    edges: Sequence[float], counts: Sequence[int]
) -> tuple[Sequence[float], Sequence[int]]:
    """Without the empty bins at both ends; at least one bin stays."""
    full = [place for place, count in enumerate(counts) if count]
    first, last = (full[0], full[-1]) if full else (0, len(counts) - 1)
    return edges[first : last + 2], counts[first : last + 1]
