"""The map: every neuron as a dot in the unit square, coloured by its layer or by its score."""

from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from clipneuron.atlas.cards import Point
from clipneuron.atlas.html.charts import png
from clipneuron.atlas.html.charts.svg import safe

SIDE = 1000
HUES = (
    (106, 79, 179), (138, 79, 176), (166, 79, 165), (189, 80, 147), (205, 86, 126),
    (214, 98, 104), (217, 113, 82), (216, 130, 62), (212, 148, 45), (203, 166, 38),
)  # fmt: skip
"""Colours of layers, from the first to the last one; `static/atlas.css` has the same."""
STEPS = ((38, 120, 180), (112, 150, 175), (160, 155, 145), (205, 130, 80), (213, 100, 30))
"""Colours of scores, from the lowest to the highest one."""
UNSCORED = (150, 145, 138)
_MOST = 10_000
"""Dots that are drawn one by one; more are drawn as pixels, which take fewer bytes."""
_PIXELS = 640

Kind = Callable[[Point], int]
"""The place of a point's colour among all colours of a drawing."""


def hue(layer: int, layers: Sequence[int]) -> int:
    """The colour of a layer, a place in HUES."""
    return round((len(HUES) - 1) * layers.index(layer) / max(len(layers) - 1, 1))


def level(score: float | None, low: float, high: float) -> int:
    """The colour of a score between the lowest and the highest one, a place in STEPS; after the last for no score."""
    if score is None:
        return len(STEPS)
    return min(len(STEPS) - 1, int(len(STEPS) * (score - low) / ((high - low) or 1.0)))


def scores(points: Iterable[Point]) -> tuple[float, float] | None:
    """The lowest and the highest score, None where no neuron has one."""
    known = [point.score for point in points if point.score is not None]
    return (min(known), max(known)) if known else None


def neurons(points: Sequence[Point], layers: Sequence[int]) -> Markup:
    """The drawing, twice: by layer, and by score where there are any; the style shows one of them."""
    draw = _dots if len(points) <= _MOST else _pixels
    hues = {layer: hue(layer, layers) for layer in layers}
    parts = [draw(points, "by-layer", lambda point: hues[point.neuron[0]], "hue", HUES)]
    ends = scores(points)
    if ends:
        colours = (*STEPS, UNSCORED)
        parts.append(
            draw(points, "by-score", lambda point: level(point.score, *ends), "step", colours)
        )
    words = safe(f"Map of {len(points):,} neurons by their directions")
    return Markup(
        f'<svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{words}">{"".join(parts)}</svg>'
    )


def _dots(
    points: Sequence[Point], name: str, kind: Kind, prefix: str, colours: Sequence[object]
) -> str:
    """A path per colour; a line of length 0 with a round end is a dot."""
    places: list[set[tuple[int, int]]] = [set() for _ in colours]
    for point in points:
        places[kind(point)].add((round(SIDE * point.x), round(SIDE * (1 - point.y))))
    paths = "".join(
        f'<path class="{prefix}{number}" d="{"".join(f"M{x} {y}h0" for x, y in sorted(found))}"/>'
        for number, found in enumerate(places)
        if found
    )
    return f'<g class="{name}">{paths}</g>'


def _pixels(
    points: Sequence[Point],
    name: str,
    kind: Kind,
    prefix: str,
    colours: Sequence[tuple[int, int, int]],
) -> str:
    """A picture with a pixel per neuron; of those on one pixel, the last one is seen."""
    pixels = bytearray(_PIXELS * _PIXELS)
    last = _PIXELS - 1
    for point in points:
        pixels[round(last * (1 - point.y)) * _PIXELS + round(last * point.x)] = 1 + kind(point)
    shades = png.palette([(0, 0, 0, 0), *((*colour, 255) for colour in colours)])
    data = png.address(png.picture(_PIXELS, _PIXELS, bytes(pixels), shades))
    return f'<image class="{name}" href="{data}" width="{SIDE}" height="{SIDE}"/>'
