"""The map: every neuron as a dot in the unit square, coloured by its layer or by its score."""

from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from clipneuron.atlas.cards import Point
from clipneuron.atlas.charts.svg import safe

SIDE = 1000
LEVELS = 5
"""Steps in which scores are coloured."""
HUES = 10
"""Colours of layers, from the first to the last one."""
_MOST = 24_000
"""Points that are drawn one by one; of more, those that would lie on each other are drawn once."""


def hue(layer: int, layers: Sequence[int]) -> int:
    """The colour of a layer, from 0 for the first to HUES - 1 for the last one."""
    return round((HUES - 1) * layers.index(layer) / max(len(layers) - 1, 1))


def level(score: float | None, low: float, high: float) -> int | None:
    """The step of a score between the lowest and the highest one, from 0; None where there is no score."""
    if score is None:
        return None
    return min(LEVELS - 1, int(LEVELS * (score - low) / ((high - low) or 1.0)))


def scores(points: Iterable[Point]) -> tuple[float, float] | None:
    """The lowest and the highest score, None where no neuron has one."""
    known = [point.score for point in points if point.score is not None]
    return (min(known), max(known)) if known else None


def neurons(points: Sequence[Point], layers: Sequence[int]) -> Markup:
    """The drawing, twice: dots grouped by layer, and by score where there are any; CSS shows one of them."""
    drawn = _groups(points, lambda point: point.neuron[0], layers)
    colours = [f'<path class="hue{hue(key or 0, layers)}" d="{dots}"/>' for key, dots in drawn]
    parts = [f'<g class="by-layer">{"".join(colours)}</g>']
    ends = scores(points)
    if ends:
        drawn = _groups(points, lambda point: level(point.score, *ends), (None, *range(LEVELS)))
        colours = [
            f'<path class="{"unscored" if key is None else f"step{key}"}" d="{dots}"/>'
            for key, dots in drawn
        ]
        parts.append(f'<g class="by-score">{"".join(colours)}</g>')
    words = safe(f"Map of {len(points):,} neurons by their directions")
    return Markup(
        f'<svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{words}">{"".join(parts)}</svg>'
    )


def _groups(
    points: Sequence[Point], key: Callable[[Point], int | None], keys: Iterable[int | None]
) -> list[tuple[int | None, str]]:
    """Dots as one path per key, in the order of keys; a path of length 0 with a round end is a dot."""
    grid = 1 if len(points) <= _MOST else 4
    places: dict[int | None, set[tuple[int, int]]] = {}
    for point in points:
        x, y = round(SIDE * point.x), round(SIDE * (1 - point.y))
        places.setdefault(key(point), set()).add((x // grid * grid, y // grid * grid))
    return [(k, "".join(f"M{x} {y}h0" for x, y in sorted(places[k]))) for k in keys if k in places]
