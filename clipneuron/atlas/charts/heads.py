"""Which later attention heads carry a neuron's effect: a bar per head, layer after layer."""

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from clipneuron.atlas.cards import Head
from clipneuron.atlas.charts.svg import columns, image, label, line

_WIDTH, _HEIGHT = 760.0, 190.0
_LEFT, _RIGHT, _TOP, _FOOT = 44.0, 6.0, 16.0, 34.0
_GAP = 0.9
"""Between two layers, in bars."""


def heads(found: Sequence[Head]) -> Markup:
    """Shares of the effect by head, grouped by layer; a negative share points below the line."""
    ordered = sorted(found, key=lambda head: (head.layer, head.head))
    groups = [list(group) for _, group in groupby(ordered, key=lambda head: head.layer)]
    step = (_WIDTH - _LEFT - _RIGHT) / (len(ordered) + _GAP * max(len(groups) - 1, 0))
    highest = max([0.0, *(head.share for head in ordered)])
    lowest = min([0.0, *(head.share for head in ordered)])
    tall = (_HEIGHT - _TOP - _FOOT) / ((highest - lowest) or 1.0)
    base = _TOP + highest * tall
    parts, left = [], _LEFT
    up, down = [], []
    for group in groups:
        boxes = [
            (left + place * step + step * 0.1, step * 0.8, head.share * tall)
            for place, head in enumerate(group)
        ]
        up += [box for box in boxes if box[2] > 0]
        down += [box for box in boxes if box[2] < 0]
        right = left + len(group) * step
        parts.append(line(left, _HEIGHT - _FOOT + 8, right, _HEIGHT - _FOOT + 8))
        parts.append(label((left + right) / 2, _HEIGHT - 8, f"layer {group[0].layer}", "middle"))
        left = right + _GAP * step
    parts += [columns(up, base, "towards"), columns(down, base, "against")]
    parts.append(line(_LEFT, base, _WIDTH - _RIGHT, base))
    parts += [
        label(_LEFT - 6, base - share * tall + 4, f"{share:.0%}".replace("-", "−"), "end")
        for share in _named(lowest, highest)
    ]
    parts += _strongest(ordered, groups, step, base, tall)
    return image(_WIDTH, _HEIGHT, _words(ordered), parts, "chart wide")


def _named(lowest: float, highest: float) -> list[float]:
    """Shares beside the axis: its ends and zero, without those that would overlap it."""
    far = 0.12 * (highest - lowest)
    return [0.0, *(end for end in (highest, lowest) if abs(end) > far)]


def _strongest(
    ordered: Sequence[Head], groups: Sequence[Sequence[Head]], step: float, base: float, tall: float
) -> list[str]:
    """The number of the head with the greatest share, over its bar."""
    best = max(ordered, key=lambda head: head.share)
    before = next(n for n, group in enumerate(groups) if group[0].layer == best.layer)
    place = ordered.index(best) + before * _GAP + 0.5
    above = base - max(best.share, 0.0) * tall - 5
    return [label(_LEFT + place * step, above, f"head {best.head}", "middle strong")]


def _words(ordered: Sequence[Head]) -> str:
    strongest = sorted(ordered, key=lambda head: -abs(head.share))[:3]
    named = ", ".join(f"layer {head.layer} head {head.head} {head.share:.0%}" for head in strongest)
    return f"Share of the effect that each later head carries; the largest are {named}"
