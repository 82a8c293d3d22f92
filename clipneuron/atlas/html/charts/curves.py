"""Accuracy by layer with its effects replaced: the paper's ablation curve."""

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from clipneuron.atlas.cards import Ablation
from clipneuron.atlas.html.charts.svg import image, label, line, short, ticks

_WIDTH, _HEIGHT = 760.0, 260.0
_LEFT, _RIGHT, _TOP, _FOOT = 44.0, 150.0, 16.0, 40.0


class _Axes:
    """Where layers and accuracies stand."""

    def __init__(self, layers: Sequence[int], lowest: float, highest: float) -> None:
        self.layers, self.lowest = layers, lowest
        self._step = (_WIDTH - _LEFT - _RIGHT) / max(len(layers) - 1, 1)
        self._tall = (_HEIGHT - _TOP - _FOOT) / ((highest - lowest) or 1.0)

    def x(self, layer: int) -> float:
        if len(self.layers) == 1:
            return (_LEFT + _WIDTH - _RIGHT) / 2
        return _LEFT + 8 + self.layers.index(layer) * (self._step - 16 / (len(self.layers) - 1))

    def y(self, accuracy: float) -> float:
        return _HEIGHT - _FOOT - (accuracy - self.lowest) * self._tall


def ablations(found: Sequence[Ablation], baseline: float | None, own: int) -> Markup:
    """A line per kind of replacement with 95 % intervals, the accuracy of the whole model, and this page's layer."""
    layers = sorted({point.layer for point in found})
    ends = [end for point in found for end in (point.low, point.high)]
    ends += [] if baseline is None else [baseline]
    low, high = min(ends), max(ends)
    room = 0.05 * (high - low or 0.1)
    axes = _Axes(layers, max(0.0, low - room), min(1.0, high + room))
    parts = []
    if own in layers:
        height = _HEIGHT - _TOP - _FOOT + 20
        parts.append(
            f'<rect class="here" x="{short(axes.x(own) - 13)}" y="{_TOP:g}" width="26" height="{height:g}"/>'
        )
    for level in ticks(axes.lowest, min(1.0, high + room), 5):
        parts.append(line(_LEFT, axes.y(level), _WIDTH - _RIGHT, axes.y(level), "grid"))
        parts.append(label(_LEFT - 6, axes.y(level) + 4, f"{level:.0%}", "end"))
    every = 1 + len(layers) // 24
    parts += [
        label(axes.x(layer), _HEIGHT - 24, str(layer), "middle")
        for place, layer in enumerate(layers)
        if place % every == 0 or layer == own
    ]
    parts.append(label((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, "layer", "middle"))
    named = []
    if baseline is not None:
        y = axes.y(baseline)
        parts.append(line(_LEFT, y, _WIDTH - _RIGHT, y, "mark"))
        named.append((y, "whole model", "faint"))
    by_name = sorted(found, key=lambda point: point.name)
    for number, (name, points) in enumerate(groupby(by_name, key=lambda point: point.name)):
        ordered = sorted(points, key=lambda point: point.layer)
        parts += _series(ordered, axes, f"series s{number % 6}")
        named.append((axes.y(ordered[-1].accuracy), name, f"s{number % 6}"))
    parts += _names(named)
    return image(_WIDTH, _HEIGHT, _words(found, baseline, own), parts, "chart wide")


def _series(points: Sequence[Ablation], axes: _Axes, kind: str) -> list[str]:
    path = "L".join(f"{short(axes.x(p.layer))} {short(axes.y(p.accuracy))}" for p in points)
    whiskers = "".join(
        f"M{short(axes.x(p.layer))} {short(axes.y(p.low))}V{short(axes.y(p.high))}" for p in points
    )
    dots = "".join(f"M{short(axes.x(p.layer))} {short(axes.y(p.accuracy))}h0" for p in points)
    return [
        f'<path class="{kind} whisker" d="{whiskers}"/>',
        f'<path class="{kind}" d="M{path}"/>',
        f'<path class="{kind} points" d="{dots}"/>',
    ]


def _names(named: Sequence[tuple[float, str, str]]) -> list[str]:
    """Names at the right ends of lines, moved apart where lines end close together."""
    parts, last = [], -100.0
    for y, name, kind in sorted(named):
        last = max(y + 4, last + 15)
        parts.append(label(_WIDTH - _RIGHT + 8, last, name, kind))
    return parts


def _words(found: Sequence[Ablation], baseline: float | None, own: int) -> str:
    here = [point for point in found if point.layer == own] or list(found)
    said = ", ".join(f"{point.name} {point.accuracy:.1%}" for point in here)
    whole = "" if baseline is None else f"; the whole model has {baseline:.1%}"
    return f"Accuracy with effects replaced, by layer. Layer {here[0].layer}: {said}{whole}"
