"""COCO's annotations: outlines and run lengths."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipneuron.data.masks.maps import BACKGROUND, MaskError
from clipneuron.data.masks.opening import open_masks
from clipneuron.data.masks.shapes import from_runs, outlined, pixels_of, uncompressed
from tests.samples.masks import annotations, pictures, rows, write

SQUARE = [1, 0, 3, 0, 3, 2, 1, 2]
"""The pixels of columns 1 and 2 in rows 0 and 1."""
SQUARE_PIXELS = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool)


def _open(tmp_path: Path, *objects: dict[str, Any], files: tuple[str, ...] = ("1.jpg",)) -> Any:
    found = pictures(tmp_path / "images", *files)
    write(tmp_path, {"instances.json": annotations(objects, files)})
    return open_masks(tmp_path / "instances.json", "", found)


def _compressed(runs: list[int]) -> str:
    """COCO's text of run lengths, by its description: differences, five bits a character, the lowest first."""
    text = ""
    for place, run in enumerate(runs):
        number = run - runs[place - 2] if place > 2 else run
        while True:
            bits, number = number & 31, number >> 5
            ends = number == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if ends else 32))
            if ends:
                break
    return text


def _runs(pixels: np.ndarray) -> list[int]:
    flat = pixels.T.ravel()
    ends = [*np.flatnonzero(np.diff(flat)) + 1, flat.size]
    lengths = np.diff([0, *ends]).tolist()
    return [0, *lengths] if flat[0] else lengths


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        [[1, 2, 3, 2, 3, 0, 1, 0]],
        [[1, 0, 2, 0, 2, 2, 1, 2], [2, 0, 3, 0, 3, 2, 2, 2]],
        {"size": [3, 4], "counts": [3, 2, 1, 2, 4]},
        {"size": [3, 4], "counts": _compressed([3, 2, 1, 2, 4])},
    ],
    ids=["outline", "turned", "two outlines", "run lengths", "compressed"],
)
def test_segmentations_of_every_form(segmentation: Any) -> None:
    np.testing.assert_array_equal(pixels_of(segmentation, (3, 4)), SQUARE_PIXELS)


def test_outlines_hold_the_pixels_whose_middles_they_hold() -> None:
    triangle = outlined([0, 0, 4, 0, 0, 4], (4, 4))
    expected = np.add.outer(np.arange(4), np.arange(4)) + 1 < 4  # middles with x + y < 4
    np.testing.assert_array_equal(triangle, expected)
    beyond = outlined([-50, -50, 1e9, -50, 1e9, 1e9, -50, 1e9], (3, 4))
    assert beyond.all()
    assert not outlined([9, 9, 12, 9, 12, 12], (3, 4)).any()
    assert outlined([0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6], (1, 1)).tolist() == [[True]]


def test_areas_of_outlines_are_those_of_the_shoelace_formula() -> None:
    dice = np.random.default_rng(0)
    for _ in range(20):
        angles = np.sort(dice.uniform(0, 2 * np.pi, 9))
        radii = dice.uniform(40, 120, 9)
        x, y = 128 + radii * np.cos(angles), 128 + radii * np.sin(angles)
        area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        found = outlined(np.stack([x, y], 1).ravel().tolist(), (256, 256)).sum()
        assert found == pytest.approx(area, rel=0.01, abs=20)


def test_run_lengths_come_back_from_their_text() -> None:
    dice = np.random.default_rng(1)
    for size, share in (((1, 1), 1.0), ((7, 9), 0.4), ((300, 211), 0.02), ((40, 5), 0.0)):
        pixels = dice.random(size) < share
        runs = _runs(pixels)
        assert uncompressed(_compressed(runs)) == runs
        np.testing.assert_array_equal(from_runs(runs, size), pixels)


def test_text_of_a_published_example() -> None:
    # pycocotools 2.0.11: encode() of 7 x 9 pixels with rows 2 to 4 of columns 3 to 5 set.
    expected = np.zeros((7, 9), bool)
    expected[2:5, 3:6] = True
    found = pixels_of({"size": [7, 9], "counts": "g034000c0"}, (7, 9))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 1, 2, 2]], "three points or more"),
        ([[1, 1, 2, 2, 3]], "three points or more"),
        ([[1, 1, 2, 2, 3, float("nan")]], "finite numbers"),
        ([[1, 1, 2, 2, 3, float("inf")]], "finite numbers"),
        ([["a", "b", "c", "d", "e", "f"]], "finite numbers"),
        ([7], "finite numbers"),
        ({"size": [3, 4], "counts": [3, 2]}, "5 pixels where the picture has 12"),
        ({"size": [3, 4], "counts": [15, -3]}, "from 0 on"),
        ({"size": [3, 4], "counts": [3.5, 8.5]}, "whole numbers"),
        ({"size": [3, 4], "counts": [[3], [2, 1]]}, "whole numbers"),
        ({"size": [4, 3], "counts": [12]}, r"of the size \[4, 3\] where \[3, 4\]"),
        ({"size": [3, 4], "counts": "3P"}, "cut off"),
        ({"size": [3, 4], "counts": "3 !"}, "other characters"),
        ({"size": [3, 4], "counts": "3"}, "3 pixels where"),
        ({"counts": [12]}, "expected a list of outlines"),
        (None, "expected a list of outlines"),
    ],
)
def test_broken_segmentations_have_a_reason_and_break_no_other_picture(
    tmp_path: Path, segmentation: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pixels_of(segmentation, (3, 4))
    broken = {"category_id": 3, "segmentation": segmentation}
    good = {"category_id": 5, "segmentation": [SQUARE], "image_id": 1}
    masks = _open(tmp_path, broken, good, files=("1.jpg", "2.jpg"))
    with pytest.raises(MaskError, match=message) as refused:
        masks.read("1.jpg")
    assert refused.value.status == "corrupt"
    np.testing.assert_array_equal(masks.read("2.jpg").of(5), SQUARE_PIXELS)


def test_objects_of_a_class_join_and_objects_of_two_can_overlap(tmp_path: Path) -> None:
    masks = _open(
        tmp_path,
        {"category_id": 3, "segmentation": [SQUARE], "area": 4.2},
        {"category_id": 3, "segmentation": [[0, 2, 1, 2, 1, 3, 0, 3]], "area": 1},
        {"category_id": 5, "segmentation": [[2, 0, 4, 0, 4, 1, 2, 1]]},
    )
    assert rows(masks) == [("1.jpg", "cat", 3, 5, "ok"), ("1.jpg", "dog", 5, None, "ok")]
    found = masks.read("1.jpg")
    assert found.labels.tolist() == [
        [BACKGROUND, 3, 5, 5],
        [BACKGROUND, 3, 3, BACKGROUND],
        [3, BACKGROUND, BACKGROUND, BACKGROUND],
    ]
    assert found.of(3).sum() == 5  # one of them under the dog
    assert found.of(5).sum() == 2


def test_crowds_are_unknown_and_no_class_of_a_picture(tmp_path: Path) -> None:
    crowd = {"category_id": 5, "iscrowd": 1, "segmentation": {"size": [3, 4], "counts": [0, 6, 6]}}
    masks = _open(
        tmp_path,
        {"category_id": 3, "segmentation": [SQUARE]},
        crowd,
        {**crowd, "image_id": 1},
        files=("1.jpg", "2.jpg"),
    )
    assert [row[:2] + row[-1:] for row in rows(masks)] == [
        ("1.jpg", "cat", "ok"),
        ("2.jpg", None, "no_object"),
    ]
    found = masks.read("1.jpg")
    assert found.unknown.sum() == 6
    assert found.of(3).sum() == 2


def test_pictures_and_annotations_that_do_not_meet(tmp_path: Path) -> None:
    found = pictures(tmp_path / "images", *(f"a/{number}.jpg" for number in range(1, 7)))
    said = json.loads(
        annotations(
            [
                {"category_id": 3, "segmentation": [SQUARE]},
                {"category_id": 9, "segmentation": [SQUARE], "image_id": 1},
                {"category_id": 3, "segmentation": [SQUARE], "image_id": 2},
                {"category_id": [3], "segmentation": [SQUARE], "image_id": 4},
                {"category_id": 3, "segmentation": [SQUARE], "image_id": [4]},
            ],
            ("1.jpg", "2.jpg", "3.jpg", "8.jpg", "5.jpg", "6.jpg"),
        )
    )
    said["images"][2]["height"] = None
    said["images"][5]["height"] = 10**9
    said["annotations"] += [7, None]
    write(tmp_path, {"x.json": json.dumps(said).encode()})
    masks = open_masks(tmp_path / "x.json", "", found)
    assert [row[-1] for row in rows(masks)] == [
        "ok",
        "no_class",
        "corrupt",
        "no_mask",
        "no_class",
        "too_large",
    ]
    assert masks.notes == ("1 picture of the annotations is not among the pictures, such as 8.jpg",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"images": [', "not JSON, or is cut off"),
        (b"[]", "not a file of COCO's annotations"),
        (b'{"images": [], "annotations": []}', "the lists images, annotations, categories"),
        (
            b'{"images": [{"id": 1}], "annotations": [], "categories": []}',
            "among its images is .*expected a number as id and a file_name",
        ),
        (
            b'{"images": [], "annotations": [], "categories": [{"id": [3], "name": "cat"}]}',
            "among its categories is .*expected a number as id",
        ),
        (annotations([]), "no picture has a usable mask"),
    ],
)
def test_other_files_are_an_error_before_work(tmp_path: Path, data: bytes, message: str) -> None:
    found = pictures(tmp_path / "images", "1.jpg")
    write(tmp_path, {"x.json": data})
    with pytest.raises(ValueError, match=message):
        open_masks(tmp_path / "x.json", "", found)
    with pytest.raises(ValueError, match="expected the file of the annotations itself"):
        open_masks(tmp_path, "coco", found)
