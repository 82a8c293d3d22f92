"""Pieces of the site's data that its script loads when it needs them.

Each is a script of one call, so that a folder that is opened by double click works like a web server.
"""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import LayerCard, MapCard, Neuron, Row, Word

File = tuple[str, bytes]
"""Its address and content."""

BLOCK = 256
"""Neurons whose words are in one chunk."""
_GRID = 4095
"""Steps of the plane along each axis: 12 bits."""

_COLUMNS: dict[str, Callable[[Row], Any]] = {
    "layer": lambda row: row.neuron[0],
    "neuron": lambda row: row.neuron[1],
    "words": lambda row: words_in_line(row.words),
    "explained_variance": lambda row: _short(row.explained_variance),
    "participation": lambda row: _short(row.participation),
    "threshold": lambda row: _short(row.threshold),
    "score": lambda row: _short(row.score),
    "cosine": lambda row: _short(row.change.cosine) if row.change else None,
    "shared": lambda row: _short(row.change.words) if row.change else None,
    "value": lambda row: _short(row.value),
}
"""What a sortable table may show: the header cells of its page name these columns."""


def chunk(name: str, data: Any) -> File:
    """A chunk with anything that JSON can hold; equal data give equal bytes."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    call = f"clipneuronAtlas({json.dumps(name)},{text});\n"
    return addresses.chunk(name), call.encode(errors="backslashreplace")


def layer_rows(card: LayerCard) -> File:
    """Every row of a layer's table, by column: the page itself shows only some of them."""
    columns = {name: [value(row) for row in card.rows] for name, value in _COLUMNS.items()}
    kept = {name: values for name, values in columns.items() if any(v is not None for v in values)}
    return chunk(f"layer/{card.layer}", kept)


def neuron_words(layer: int, words: Sequence[tuple[int, Sequence[Word]]]) -> Iterator[File]:
    """The words of a layer's neurons, by number and rising, in chunks of `BLOCK` numbers."""
    for block, own in groupby(words, lambda item: item[0] // BLOCK):
        lines = {str(number): words_in_line(said) for number, said in own}
        yield chunk(f"neuron/{layer}-{block}", lines)


def map_points(card: MapCard) -> File:
    """The plane's points, layer by layer: ranges of neurons, and three bytes a point (x and y on a grid of 4,096)."""
    points = sorted(card.points, key=lambda point: point.neuron)
    layers = []
    for layer, group in groupby(points, lambda point: point.neuron[0]):
        own = list(group)
        places = np.array([(point.x, point.y) for point in own])
        layers.append([layer, ranges([p.neuron[1] for p in own]), _packed(places)])
    return chunk("map", layers)


def words_in_line(words: Sequence[Word]) -> str:
    """Words as a line of text, with a minus sign where a neuron writes against one."""
    return ", ".join(f"{'−' if word.weight < 0 else ''}{word.text}" for word in words)


def ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Rising numbers as first and last of each run without gaps.

    >>> ranges([0, 1, 2, 5, 7, 8])
    [[0, 2], [5, 5], [7, 8]]
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def layers_of(neurons: Sequence[Neuron]) -> list[tuple[int, list[list[int]]]]:
    """Which neurons there are, as ranges of numbers in each layer."""
    grouped = groupby(sorted(neurons), lambda neuron: neuron[0])
    return [(layer, ranges([number for _, number in own])) for layer, own in grouped]


def _packed(places: np.ndarray[Any, Any]) -> str:
    x, y = np.rint(places.clip(0, 1) * _GRID).astype(np.uint32).T
    both = ((x << 12) | y).astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    return base64.b64encode(both.tobytes()).decode()


def _short(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.4g}")
