"""The plane of all neurons: the axes of largest variance, the same however the neurons come in blocks."""

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.decomposition import PCA

from clipneuron.atlas.finding.plane import Blocks, fitted, places

DICE = np.random.default_rng(3)
ROWS = (DICE.standard_normal((500, 12)) * np.linspace(2, 0.5, 12) + 1).astype(np.float32)


def blocks(rows: np.ndarray, size: int) -> Blocks:
    def each() -> Iterator[np.ndarray]:
        for first in range(0, len(rows), size):
            yield rows[first : first + size]

    return each


def test_the_axes_are_those_of_the_oracle() -> None:
    oracle, plane = PCA(2).fit(ROWS.astype(np.float64)), fitted(blocks(ROWS, 64))
    assert np.abs(plane.axes @ oracle.components_.T) == pytest.approx(np.eye(2), abs=1e-6)
    assert plane.explained == pytest.approx(tuple(oracle.explained_variance_ratio_))
    assert (plane.axes[[0, 1], np.abs(plane.axes).argmax(1)] > 0).all()


@pytest.mark.parametrize("size", [1, 7, 500])
def test_places_do_not_depend_on_blocks(size: int) -> None:
    one, other = places(blocks(ROWS, 64)), places(blocks(ROWS, size))
    assert np.abs(one.x - other.x).max() <= 1e-5
    assert np.abs(one.y - other.y).max() <= 1e-5


def test_places_are_the_same_bytes_twice_and_lie_in_the_square() -> None:
    one, other = places(blocks(ROWS, 64)), places(blocks(ROWS, 64))
    assert one.x.tobytes() == other.x.tobytes()
    assert one.y.tobytes() == other.y.tobytes()
    both = np.stack([one.x, one.y])
    assert np.abs(both - 0.5).max() == pytest.approx(0.48)


def test_dead_neurons_have_no_part_in_the_axes() -> None:
    dead = np.concatenate(
        [np.zeros((50, 12), np.float32), ROWS, np.full((1, 12), np.nan, np.float32)]
    )
    assert fitted(blocks(dead, 100)).axes == pytest.approx(fitted(blocks(ROWS, 100)).axes)
    assert np.isfinite(places(blocks(dead, 100)).x).all()


def test_distances_in_the_plane_are_of_one_scale() -> None:
    flat = DICE.standard_normal((40, 2)) * [3, 1]
    found = places(blocks(flat, 40))
    ratio = np.hypot(np.diff(found.x), np.diff(found.y)) / np.linalg.norm(
        np.diff(flat, axis=0), axis=1
    )
    assert ratio == pytest.approx(ratio[0], rel=1e-2)


def test_one_neuron_or_one_dimension_has_a_place_and_none_has_not() -> None:
    assert (places(blocks(ROWS[:1], 1)).x, places(blocks(ROWS[:1], 1)).y) == (0.5, 0.5)
    line = places(blocks(np.array([[0.5], [1.0], [-1.0]]), 2))
    assert set(line.y) == {0.5}
    with pytest.raises(ValueError, match="no neuron with a direction"):
        places(blocks(np.zeros((3, 4)), 2))
