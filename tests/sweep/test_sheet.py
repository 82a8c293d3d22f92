"""The contact sheet shows each neuron's pictures in order, and which of them point the other way."""

import io

import pytest
from PIL import Image

from clipneuron.reports.drawing import GAP, GREY, HEADER, LABEL_WIDTH, TILE
from clipneuron.store.errors import UNREACHABLE, ReadError, StoreError
from clipneuron.sweep.neurons import NeuronCard
from clipneuron.sweep.sheet import RED, neurons_sheet

COLOURS = [(10, 200, 30), (20, 40, 220), (240, 240, 10)]


def card(images: tuple[int, ...], projections: tuple[float, ...]) -> NeuronCard:
    words = (
        ("a cat", 0.5),
        ("a text that is much too long to fit beside the pictures of a row", -0.2),
    )
    return NeuronCard(3, 14, 0.1, 0.5, 0.02, 1.0, images, (3.0, 2.0, 1.0), projections, words)


def read(image: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (200 + image, 100), COLOURS[image]).save(buffer, "PNG")
    return buffer.getvalue()


def test_pictures_stand_in_their_rows_and_negative_ones_are_framed():
    sheet = neurons_sheet([card((0, 1), (1.0, -1.0)), card((2,), (1.0,))], read, "a title")
    middle = TILE // 2

    def pixel(row: int, place: int, inside: int) -> tuple[int, ...]:
        left = LABEL_WIDTH + place * (TILE + GAP)
        return sheet.getpixel((left + inside, HEADER + row * (TILE + GAP) + middle))

    assert pixel(0, 0, middle) == COLOURS[0]
    assert pixel(0, 0, 0) == COLOURS[0]
    assert pixel(0, 1, middle) == COLOURS[1]
    assert pixel(0, 1, 0) == RED
    assert pixel(1, 0, middle) == COLOURS[2]
    assert pixel(1, 1, middle) == (255, 255, 255)


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (ReadError("missing", "the file is gone"), 3),
        (ReadError(UNREACHABLE, "the bucket does not answer"), 1),
        (StoreError("the disk is gone"), 1),
    ],
)
def test_a_picture_that_is_lost_is_a_grey_tile_and_a_lost_place_is_asked_once(error, asked):
    numbers = []

    def lost(image: int) -> bytes:
        numbers.append(image)
        raise error

    sheet = neurons_sheet([card((0, 1, 2), (1.0, 1.0, 1.0))], lost, "a title")
    corner = (LABEL_WIDTH + 1, HEADER + 1)
    assert sheet.getpixel(corner) == GREY
    assert len(numbers) == asked
    tile = sheet.crop((LABEL_WIDTH, HEADER, LABEL_WIDTH + TILE, HEADER + TILE))
    assert min(tile.convert("L").getextrema()) < 100, "the reason stands in it"


def test_bytes_that_pillow_does_not_open_are_a_grey_tile():
    sheet = neurons_sheet([card((0,), (1.0,))], lambda image: b"GIF89a what", "a title")
    assert sheet.getpixel((LABEL_WIDTH + 1, HEADER + 1)) == GREY


def test_nothing_to_show_is_an_error():
    with pytest.raises(ValueError, match="at least one neuron"):
        neurons_sheet([], read, "a title")
