"""Neurons matched wherever they are: a permutation that was planted is found again, by direction and by norms."""

from dataclasses import replace

import numpy as np
import pytest

from clipneuron.operations.compare.match.matching import Features, best, matches
from clipneuron.operations.compare.match.report import MatchReport
from clipneuron.operations.compare.sides import Side
from tests.samples.compared import World, renamed, world, written

BOTH = ("direction", "norms")


def moved(found: World, order: np.ndarray) -> World:
    """The neurons of layers 0 and 1 in another order, in the layers 5 and 6."""
    count = len(order) // 2

    def taken(tables: dict[int, np.ndarray], axis: int) -> dict[int, np.ndarray]:
        whole = np.concatenate([tables[0], tables[1]], axis=axis)
        parts = np.split(np.take(whole, order, axis=axis), [count], axis=axis)
        return dict(zip((5, 6), parts, strict=True))

    spoken = [found.words[n // count, n % count] for n in order]
    return replace(
        found,
        direction=taken(found.direction, 0),
        norms=taken(found.norms, 1),
        explained=taken(found.explained, 0),
        words={(5 + n // count, n % count): words for n, words in enumerate(spoken)},
    )


def test_neurons_that_moved_are_found_again_by_both(tmp_path):
    one, order = world(), np.random.default_rng(4).permutation(24)
    a = Side.of(written(tmp_path, one, block=12))
    b = Side.of(written(tmp_path, moved(renamed(one, layers=[5, 6]), order), block=12))
    found, notes = matches(a, b, BOTH, lambda neurons: None)
    assert notes == []
    for each in found:
        rows = each.table.to_pylist()
        there = [12 * (row["layer_b"] - 5) + row["neuron_b"] for row in rows]
        assert order[there].tolist() == [12 * row["layer_a"] + row["neuron_a"] for row in rows]
        assert all(
            row["mutual"] and row["similarity"] == pytest.approx(1, abs=1e-5) for row in rows
        )
        assert all(row["second"] < 0.9 for row in rows)
        assert each.unmatched == 0
    report = MatchReport(a, b, found, notes, show=3)
    assert report.table().num_rows == 48
    nearest = report.pairs["Nearest pairs, by direction"]
    assert len(nearest) == 3
    assert all(row[1] == row[3] for row in nearest)  # the same words
    assert set(report.files()) == {
        "report.md",
        "matches.json",
        "matches-direction.png",
        "matches-norms.png",
    }


def test_other_spaces_are_matched_by_norms_alone_and_that_is_said(tmp_path):
    one, order = world(), np.random.default_rng(4).permutation(24)
    other = replace(moved(renamed(one, model="two"), order), texts=world(seed=7).texts)
    a, b = (
        Side.of(written(tmp_path / "a", one, block=12)),
        Side.of(written(tmp_path / "b", other, block=12)),
    )
    found, notes = matches(a, b, BOTH, lambda neurons: None)
    assert [each.by for each in found] == ["norms"]
    assert len(notes) == 1
    assert notes[0].startswith("not by direction, since the joint spaces differ")
    with pytest.raises(ValueError, match="cannot be matched: not by direction"):
        matches(a, b, ("direction",), lambda neurons: None)


def test_pictures_in_another_order_are_paired_by_their_ids(tmp_path):
    one = world()
    turned = replace(
        renamed(one, images="others"),
        norms={layer: rows[::-1] for layer, rows in one.norms.items()},
    )
    a = Side.of(written(tmp_path / "a", one, block=12))
    b = Side.of(written(tmp_path / "b", turned, block=12, backwards=True))
    ((found,), _) = matches(a, b, ("norms",), lambda neurons: None)
    assert found.table["neuron_a"].to_pylist() == found.table["neuron_b"].to_pylist()
    assert found.table["similarity"].to_numpy() == pytest.approx(1, abs=1e-5)


def test_norms_in_float16_are_matched_with_those_in_float32(tmp_path):
    one, order = world(), np.random.default_rng(4).permutation(24)
    other = replace(moved(renamed(one, layers=[5, 6]), order), numbers="float16")
    a = Side.of(written(tmp_path / "a", one, block=12))
    b = Side.of(written(tmp_path / "b", other, block=12))
    ((found,), _) = matches(a, b, ("norms",), lambda neurons: None)
    there = 12 * (found.table["layer_b"].to_numpy() - 5) + found.table["neuron_b"].to_numpy()
    assert order[there].tolist() == list(range(24))
    assert found.table["similarity"].to_numpy() == pytest.approx(1, abs=1e-5), "in float32"


def test_without_common_pictures_there_are_no_norms_to_compare(tmp_path):
    one = world()
    a = Side.of(written(tmp_path / "a", one, block=12))
    b = Side.of(written(tmp_path / "b", replace(renamed(one, images="x"), prefix="new-"), block=12))
    with pytest.raises(ValueError, match="0 usable pictures are in both runs and 20 are needed"):
        matches(a, b, ("norms",), lambda neurons: None)


def test_blocks_give_what_all_at_once_would():
    dice = np.random.default_rng(0)
    one, other = (dice.normal(size=(count, 8)).astype(np.float32) for count in (1300, 700))
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other))
    found = best("direction", Features(np.arange(1300), one), Features(np.arange(700), other))
    cosines = np.abs(one @ other.T)
    place = cosines.argmax(1)
    assert found.table["neuron_b"].to_pylist() == place.tolist()
    assert found.table["second"].to_numpy() == pytest.approx(np.sort(cosines, 1)[:, -2])
    assert (
        found.table["mutual"].to_pylist() == (cosines.argmax(0)[place] == np.arange(1300)).tolist()
    )
    assert found.unmatched == 700 - len(set(place.tolist()))
