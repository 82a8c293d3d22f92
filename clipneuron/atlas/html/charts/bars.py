"""Small charts inside a line of text: a bar with its sign, and a score with its interval and its control."""

from markupsafe import Markup

from clipneuron.atlas.cards import Score
from clipneuron.atlas.html.charts.svg import image, line, short

_WIDTH, _HEIGHT = 160.0, 22.0


def bar(value: float, largest: float, signed: bool = True) -> Markup:
    """A bar for a value beside its number, which says all that it says.

    signed: the bar grows to both sides of the middle; else rightwards from the left.
    """
    length = 0.0 if not largest > 0 else min(1.0, abs(value) / largest) * (50 if signed else 100)
    start = f' x="{50 - length if value < 0 else 50:.3g}%"' if signed else ""
    way = ' class="against"' if value < 0 else ""
    kind = "bar signed" if signed else "bar"
    return Markup(f'<svg class="{kind}"><rect{way}{start} width="{length:.3g}%"/></svg>')


def ruler(score: Score) -> Markup:
    """A score between -1 (or 0) and 1: a dot in its interval, and a mark at its control."""
    ends = [score.value, score.low, score.high, score.control or 0.0]
    lowest = -1.0 if min(ends) < 0 else 0.0

    def place(value: float) -> float:
        inside = min(1.0, max(lowest, value))
        return 4 + (inside - lowest) / (1 - lowest) * (_WIDTH - 8)

    middle = _HEIGHT / 2
    parts = [
        line(place(lowest), middle, place(1), middle),
        *(line(place(end), middle - 3, place(end), middle + 3) for end in {lowest, 0.0, 1.0}),
        line(place(score.low), middle, place(score.high), middle, "interval"),
    ]
    if score.control is not None:
        at = place(score.control)
        parts.append(line(at, middle - 7, at, middle + 7, "control"))
    parts.append(f'<circle class="dot" cx="{short(place(score.value))}" cy="{middle:g}" r="4"/>')
    control = "" if score.control is None else f", control {score.control:.2f}"
    words = (
        f"{score.metric} {score.value:.2f}, interval {score.low:.2f} to {score.high:.2f}{control}"
    )
    return image(_WIDTH, _HEIGHT, words, parts, "ruler")
