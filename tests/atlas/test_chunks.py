"""The chunks that the site's script loads."""

import base64
from math import nan

from clipneuron.atlas.cards import Change, LayerCard, MapCard, Point, Row, Word
from clipneuron.atlas.finding import chunks
from tests.atlas.test_search import read


def test_a_chunk_is_one_call_with_any_text_in_it() -> None:
    path, content = chunks.chunk("neuron/9-0", {"0": "</script>\u2028'\"\\ \udcff 船"})
    assert path == "data/neuron/9-0.js"
    assert read(content) == ("neuron/9-0", {"0": "</script>\u2028'\"\\ \udcff 船"})


def test_the_rows_of_a_layer_are_columns_without_those_that_nobody_has() -> None:
    rows = (
        Row((9, 4), (Word("ship", 0.3), Word("car", -0.2)), explained_variance=0.123456),
        Row((9, 5), (), explained_variance=nan, change=Change(0.5, None)),
    )
    assert read(chunks.layer_rows(LayerCard(9, (9,), rows=rows))[1]) == (
        "layer/9",
        {
            "layer": [9, 9],
            "neuron": [4, 5],
            "words": ["ship, −car", ""],
            "explained_variance": [0.1235, None],
            "cosine": [None, 0.5],
        },
    )


def test_words_of_neurons_are_in_blocks() -> None:
    words = [(n, (Word(f"w{n}", 1.0),)) for n in (0, 1, chunks.BLOCK, chunks.BLOCK + 3)]
    files = dict(read(content) for _, content in chunks.neuron_words(9, words))
    assert files == {
        "neuron/9-0": {"0": "w0", "1": "w1"},
        "neuron/9-1": {"256": "w256", "259": "w259"},
    }


def test_points_are_packed_layer_by_layer() -> None:
    points = (Point((10, 7), 1.0, 0.0), Point((9, 0), 0.5, 0.25), Point((9, 1), 0.0, 1.0))
    name, layers = read(chunks.map_points(MapCard((9, 10), (0.2, 0.1), points))[1])
    assert name == "map"
    assert [layer[:2] for layer in layers] == [[9, [[0, 1]]], [10, [[7, 7]]]]
    first, second = (base64.b64decode(layer[2]) for layer in layers)
    assert first == bytes([0x80, 0x04, 0x00, 0x00, 0x0F, 0xFF])  # 2048, 1024; 0, 4095
    assert second == bytes([0xFF, 0xF0, 0x00])
