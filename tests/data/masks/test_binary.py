"""Masks of one class each."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipneuron.data.masks.maps import BACKGROUND, MaskError
from clipneuron.data.masks.opening import open_masks
from clipneuron.data.masks.values import foreground
from tests.samples.masks import encoded, pictures, rows, write

INSIDE = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]], np.uint8)
OTHER = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
WHITE = encoded(255 * INSIDE)


def saved(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def in_palette(values: np.ndarray, *colours: int) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette(colours)  # which makes it one of places in a palette
    return image


GREY = Image.fromarray(255 * INSIDE)
OPAQUE = Image.new("L", GREY.size, 255)


@pytest.mark.parametrize(
    "data",
    [
        WHITE,
        encoded(INSIDE),
        encoded(INSIDE, palette=True),
        encoded(INSIDE.astype(bool)),
        encoded(np.repeat(255 * INSIDE[..., None], 3, -1)),
        encoded(np.dstack([np.full((3, 4, 3), 9, np.uint8), 255 * INSIDE])),
        encoded(257 * INSIDE.astype(np.uint16)),
        encoded(np.repeat(np.repeat(255 * INSIDE, 8, 0), 8, 1), "JPEG"),
        saved(Image.merge("LA", (GREY, OPAQUE))),
        saved(Image.merge("LA", (OPAQUE, GREY))),
        saved(Image.merge("RGBA", (GREY, GREY, GREY, OPAQUE))),
        saved(in_palette(1 - INSIDE, 255, 255, 255, 0, 0, 0)),
        saved(in_palette(INSIDE, 255, 255, 255, 200, 0, 0)),
        saved(in_palette(1 - INSIDE, 9, 9, 9, 9, 9, 9), transparency=1),
    ],
    ids=[
        *("255", "1", "palette", "bits", "RGB", "cut out", "16 bits", "JPEG"),
        *("grey, opaque", "grey, cut out", "RGB, opaque", "white first in its palette"),
        *("colours in a palette", "cut out in a palette"),
    ],
)
def test_the_foreground_in_every_form(data: bytes) -> None:
    found = foreground(data, "mask")
    step = len(found) // 3
    np.testing.assert_array_equal(found[step // 2 :: step, step // 2 :: step], INSIDE == 1)


def test_all_white_is_all_of_the_class_and_all_black_nothing() -> None:
    assert foreground(encoded(np.full((2, 2), 255, np.uint8)), "mask").all()
    assert not foreground(encoded(np.zeros((2, 2), np.uint8)), "mask").any()
    assert foreground(encoded(np.ones((1, 1), np.uint8)), "mask").tolist() == [[True]]


def test_values_of_several_classes_are_none_of_one() -> None:
    with pytest.raises(
        MaskError, match="values 0, 3, 5, which stand for several classes: give their"
    ):
        foreground(encoded(np.array([[0, 3, 5]], np.uint8)), "mask")


def test_the_class_is_that_of_the_mask_s_folder_and_a_picture_can_have_several(
    tmp_path: Path,
) -> None:
    found = pictures(tmp_path / "images", "1.jpg", "2.jpg")
    files = {"cat/1.png": WHITE, "dog/1.png": encoded(OTHER), "dog/2.png": WHITE}
    masks = open_masks(write(tmp_path / "masks", files), "", found)
    assert rows(masks) == [
        ("1.jpg", "cat", 1, None, "ok"),
        ("1.jpg", "dog", 2, None, "ok"),
        ("2.jpg", "dog", 2, None, "ok"),
    ]
    read = masks.read("1.jpg")
    np.testing.assert_array_equal(read.of(1), INSIDE == 1)  # one pixel is of both
    np.testing.assert_array_equal(read.of(2), OTHER == 1)
    assert (read.labels == BACKGROUND).sum() == 5


def test_or_that_of_the_picture_or_as_a_file_has_it(tmp_path: Path) -> None:
    found = pictures(tmp_path / "images", "cat/1.jpg", "dog/2.jpg")
    flat = write(tmp_path / "flat", {"1.png": WHITE, "2.png": WHITE})
    names = [row[1] for row in rows(open_masks(flat, "binary", found))]
    assert names == ["cat", "dog"]
    named = open_masks(flat, "binary", found, {"1": "tabby", "dog/2.jpg": "poodle"})
    assert [row[1] for row in rows(named)] == ["tabby", "poodle"]


def test_without_a_class_there_is_a_reason(tmp_path: Path) -> None:
    found = pictures(tmp_path / "images", "1.jpg", "2.jpg")
    flat = write(tmp_path / "flat", {"1.png": WHITE, "2.png": WHITE})
    masks = open_masks(flat, "binary", found, {"1": "tabby"})
    assert [row[-1] for row in rows(masks)] == ["ok", "no_class"]
    assert "nobody says what its mask 2.png is of" in masks.unusable["reason"][0].as_py()
    with pytest.raises(ValueError, match=r"no picture has a usable mask .*\(no_class\)"):
        open_masks(flat, "binary", found)


def test_two_masks_of_one_class_are_ambiguous(tmp_path: Path) -> None:
    found = pictures(tmp_path / "images", "1.jpg", "2.jpg")
    files = {"cat/1.png": WHITE, "cat/1_mask.png": WHITE, "cat/2.png": WHITE}
    masks = open_masks(write(tmp_path / "masks", files), "binary", found)
    assert [row[-1] for row in rows(masks)] == ["ambiguous", "ok"]


def test_masks_of_one_picture_that_differ_in_size_are_refused_when_read(tmp_path: Path) -> None:
    found = pictures(tmp_path / "images", "1.jpg")
    files = {"cat/1.png": WHITE, "dog/1.png": encoded(np.ones((2, 2), np.uint8))}
    masks = open_masks(write(tmp_path / "masks", files), "binary", found)
    with pytest.raises(MaskError, match="its masks differ in size: 2 x 2, 4 x 3") as refused:
        masks.read("1.jpg")
    assert refused.value.status == "other_size"


def test_one_picture_and_one_mask_go_together(tmp_path: Path) -> None:
    found = pictures(tmp_path / "images", "holiday.jpg")
    place = write(tmp_path, {"outline.png": WHITE}) / "outline.png"
    masks = open_masks(place, "binary", found, {"holiday": "cat"})
    assert rows(masks) == [("holiday.jpg", "cat", 1, None, "ok")]
