"""Which later attention heads carry a neuron's effect: a bar per head, layer after layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from markupsafe import Markup

from clipneuron.atlas.cards import Head
from clipneuron.atlas.html.charts.svg import columns, image, label, line

_WIDTH, _HEIGHT = 760.0, 190.0
_LEFT, _RIGHT, _TOP, _FOOT = 44.0, 6.0, 16.0, 34.0
_GAP = 0.9
"""Between two layers, in bars."""
_NAMED_IN_FULL = 7
"""Layers that have room for the word before their number."""


def heads(found: Sequence[Head]) -> Markup:
    """Shares of the effect by head, grouped by layer; a negative share points below the line."""
    axes = _Axes(sorted(found, key=lambda head: (head.layer, head.head)))
    boxes = [axes.box(place) for place in range(len(axes.heads))]
    parts = [
        *axes.layers(),
        columns([box for box in boxes if box[2] > 0], axes.base, "towards"),
        columns([box for box in boxes if box[2] < 0], axes.base, "against"),
        line(_LEFT, axes.base, _WIDTH - _RIGHT, axes.base),
        *axes.shares(),
        axes.strongest(),
    ]
    return image(_WIDTH, _HEIGHT, _words(axes.heads), parts, "chart wide")


@dataclass(frozen=True)
class _Axes:
    """Where bars stand; `heads` are ordered by layer and number."""

    heads: Sequence[Head]

    @cached_property
    def groups(self) -> list[tuple[int, int]]:
        """The layers and how many heads each has."""
        return [(key, len([*own])) for key, own in groupby(head.layer for head in self.heads)]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest share, 0 among them."""
        shares = [0.0, *(head.share for head in self.heads)]
        return min(shares), max(shares)

    @cached_property
    def step(self) -> float:
        """From a bar to the next one."""
        return (_WIDTH - _LEFT - _RIGHT) / (len(self.heads) + _GAP * (len(self.groups) - 1))

    @cached_property
    def tall(self) -> float:
        """A share of 1."""
        lowest, highest = self.ends
        return (_HEIGHT - _TOP - _FOOT) / ((highest - lowest) or 1.0)

    @cached_property
    def base(self) -> float:
        """Where shares are 0."""
        return _TOP + self.ends[1] * self.tall

    @cached_property
    def gaps(self) -> dict[int, float]:
        """The gaps before a layer, in bars."""
        return {key: place * _GAP for place, (key, _) in enumerate(self.groups)}

    def left(self, place: int) -> float:
        """Where the bar of a head begins."""
        return _LEFT + (place + self.gaps[self.heads[place].layer]) * self.step

    def box(self, place: int) -> tuple[float, float, float]:
        """Left, width and height of a bar."""
        return (
            self.left(place) + 0.1 * self.step,
            0.8 * self.step,
            self.heads[place].share * self.tall,
        )

    def layers(self) -> list[str]:
        """A line under each layer with its number."""
        parts, first = [], 0
        for key, count in self.groups:
            left = self.left(first)
            right, first = left + count * self.step, first + count
            short = len(self.groups) > _NAMED_IN_FULL
            parts.append(line(left, _HEIGHT - _FOOT + 8, right, _HEIGHT - _FOOT + 8))
            words = str(key) if short else f"layer {key}"
            parts.append(label((left + right) / 2, _HEIGHT - 8, words, "middle"))
        return parts

    def shares(self) -> list[str]:
        """Shares beside the axis: its ends and zero, without those that would overlap it."""
        lowest, highest = self.ends
        far = 0.12 * (highest - lowest)
        named = [0.0, *(end for end in (highest, lowest) if abs(end) > far)]
        return [
            label(_LEFT - 6, self.base - share * self.tall + 4, _percent(share), "end")
            for share in named
        ]

    def strongest(self) -> str:
        """The name of the head with the greatest share, over its bar."""
        best = max(self.heads, key=lambda head: head.share)
        left, width, height = self.box(self.heads.index(best))
        words = f"layer {best.layer}, head {best.head}"
        across = min(max(left + width / 2, _LEFT + 40), _WIDTH - 50)
        return label(across, self.base - max(height, 0) - 5, words, "middle strong")


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("-", "−")


def _words(ordered: Sequence[Head]) -> str:
    strongest = sorted(ordered, key=lambda head: -abs(head.share))[:3]
    named = ", ".join(
        f"layer {head.layer} head {head.head} {_percent(head.share)}" for head in strongest
    )
    return f"Share of the effect that each later head carries; the largest are {named}"
