"""Masks at the size that a model reads."""

import io

import numpy as np
import pytest
from PIL import Image

from clipneuron.data.masks.alignment import fitted, framed
from clipneuron.data.masks.maps import BACKGROUND, LabelMap, MaskError
from clipneuron.models.clip.preprocessing.pixels import Frame
from clipneuron.models.clip.preprocessing.preprocess import Preprocess


def _map(labels: np.ndarray, unknown: np.ndarray | None = None) -> LabelMap:
    none = np.zeros(labels.shape, bool)
    return LabelMap(labels.astype(np.int32), none if unknown is None else unknown)


def _frame(mode: str = "shortest", size: tuple[int, int] = (32, 32), fill: int = 0) -> Frame:
    return Frame(size=size, interpolation="bicubic", resize_mode=mode, fill_color=fill)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(96, 160), (160, 96), (50, 37), (64, 64), (9, 70)])
def test_aligned_masks_lie_on_their_pictures(mode: str, size: tuple[int, int]) -> None:
    """A white object on black: where the picture in the frame is white, its mask in the frame is of the object."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - height * 0.45) ** 2 / height**2 + (columns - width * 0.6) ** 2 / width**2 < 0.1
    picture = Image.fromarray((inside * 255).astype(np.uint8)).convert("RGB")
    frame = _frame(mode)
    bright = frame.pixels(picture)[0].astype(float) / 255
    found = framed(_map(np.where(inside, 4, BACKGROUND)), frame, "aligned")
    own = found.of(4)
    # Nearest neighbours and smooth resampling differ only at the object's edge.
    assert np.mean(np.abs(own - bright)) < 0.06
    assert (own == (bright > 0.5))[(bright < 0.02) | (bright > 0.98)].mean() > 0.995


def test_a_square_mask_does_not_lie_on_a_cropped_picture() -> None:
    inside = np.zeros((32, 64), bool)
    inside[:, :8] = True  # outside the middle square
    mask = _map(np.where(inside, 1, BACKGROUND))
    assert not framed(mask, _frame(), "aligned").of(1).any()
    squeezed = framed(mask, _frame(), "square").of(1)
    assert squeezed[:, :4].all()
    assert not squeezed[:, 4:].any()


def test_padding_is_unknown_and_no_object() -> None:
    mask = _map(np.full((16, 32), 7))
    found = framed(mask, _frame("longest", fill=255), "aligned")
    assert found.unknown.sum() == 32 * 16
    assert found.unknown[:8].all()
    assert found.of(7).sum() == 32 * 16
    assert set(np.unique(found.labels)) == {BACKGROUND, 7}


def test_unknown_and_covered_pixels_go_along() -> None:
    labels = np.arange(16).reshape(4, 4)
    unknown, covered = labels == 5, labels > 12
    found = LabelMap(labels.astype(np.int32), unknown, {3: covered})
    large = framed(found, _frame("squash", (8, 8)), "aligned")
    np.testing.assert_array_equal(large.labels, np.kron(labels, np.ones((2, 2), int)))
    np.testing.assert_array_equal(large.unknown, np.kron(unknown, np.ones((2, 2), int)) == 1)
    expected = np.kron((labels == 3) | covered, np.ones((2, 2), int)) == 1
    np.testing.assert_array_equal(large.of(3), expected)


def test_large_values_survive() -> None:
    found = framed(_map(np.full((3, 3), 65_535)), _frame(size=(5, 5)), "aligned")
    assert (found.labels == 65_535).all()


def test_a_mask_of_the_same_shape_is_resized_and_it_is_said() -> None:
    labels = np.array([[1, 2], [3, 4]])
    found = fitted(_map(labels), (6, 6), "cat.jpg")
    np.testing.assert_array_equal(found.labels, np.kron(labels, np.ones((3, 3), int)))
    assert found.note == "resized: its mask is 2 x 2, the picture 6 x 6"
    assert fitted(found, (6, 6), "cat.jpg") is found
    assert fitted(_map(np.ones((375, 500))), (188, 250), "x").size == (188, 250)
    assert fitted(_map(np.ones((188, 250))), (375, 500), "x").size == (375, 500)


@pytest.mark.parametrize("size", [(500, 375), (375, 400), (100, 100), (1, 9)])
def test_a_mask_of_another_shape_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(MaskError, match=r"its mask is 500 x 375, the picture") as refused:
        fitted(_map(np.ones((375, 500))), size, "cat.jpg")
    assert refused.value.status == "other_size"
    assert ("turned by a quarter" in refused.value.reason) == (size == (500, 375))


def test_pictures_of_one_pixel() -> None:
    found = framed(fitted(_map(np.array([[3]])), (1, 1), "x"), _frame(), "aligned")
    assert found.of(3).all()


def test_pictures_know_their_own_size() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 20), (1, 2, 3)).save(buffer, "PNG")
    preprocess = Preprocess(size=(32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
    assert preprocess.read(buffer.getvalue()).size == (20, 50)
