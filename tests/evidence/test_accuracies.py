"""Accuracies are exact, drops are taken on the same pictures of one stage, and intervals are those of the bootstrap."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clipneuron.evidence.accuracies import Accuracies, FailedPicture
from clipneuron.lens.scores.metrics import bootstrap_interval
from clipneuron.tables.ablations import NONE, Ablation
from tests.samples import evidence_tables as samples

ALL = Ablation("all", 3)


def test_accuracies_and_drops_are_exact_over_shards(tmp_path: Path):
    run = samples.new_run(tmp_path)
    parts = ([True, True, False], [True, False, False]), ([True], [False])
    for shard, (start, (none, every)) in enumerate(zip((10, 3), parts, strict=True)):
        right = {samples.NONE: none, tuple(ALL): every}
        table = samples.predictions(right, start=start)
        run.commit("ablations", str(shard), {"predictions": table})
    found = Accuracies.of(run, ["ablations"])
    assert found.accuracy(NONE).value == 0.75
    assert found.accuracy(ALL).value == 0.25
    assert found.drop(ALL).value == 0.5
    assert list(found.outcomes[ALL].index) == [3, 10, 11, 12]
    assert list(found.outcomes[ALL].right) == [False, True, False, False]
    assert found.layers("all") == [3]


def test_failed_and_unlabelled_pictures_are_left_out_and_counted(tmp_path: Path):
    run = samples.new_run(tmp_path)
    right = {samples.NONE: [True, False, True], tuple(ALL): [False, False, True]}
    table = samples.predictions(right, unlabelled=(1,), failed={7: "truncated file"})
    run.commit("ablations", "0", {"predictions": table})
    found = Accuracies.of(run, ["ablations"])
    assert (found.pictures, found.unlabelled) == (2, 1)
    assert found.failed == {7: FailedPicture("7.png", "truncated file")}
    assert found.accuracy(NONE).value == 1.0
    assert found.drop(ALL).value == 0.5


def test_a_drop_is_taken_within_its_own_stage(tmp_path: Path):
    run = samples.new_run(tmp_path)
    attention = Ablation("attention", 2)
    first = {samples.NONE: [True, True, False, False], tuple(ALL): [True, False, False, False]}
    other = {samples.NONE: [True, False, False, False], tuple(attention): [False] * 4}
    run.commit("ablations", "0", {"predictions": samples.predictions(first)})
    run.commit("first-order", "0", {"predictions": samples.predictions(other)})
    found = Accuracies.of(run, ["ablations", "first-order", "never-run"])
    assert found.accuracy(NONE).value == 0.5
    assert found.drop(ALL).value == 0.25
    assert found.drop(attention).value == 0.25
    assert found.gap(ALL, attention).value == 0.25
    assert found.disagreements == 1


def test_gaps_are_over_the_pictures_that_both_know(tmp_path: Path):
    run = samples.new_run(tmp_path)
    held = Ablation("indirect", 3)
    every = [True, True, False, True]
    one = samples.predictions({samples.NONE: [True] * 4, tuple(ALL): every})
    two = samples.predictions({samples.NONE: [True, False], tuple(held): [True, False]}, start=2)
    run.commit("ablations", "0", {"predictions": one})
    run.commit("indirect", "0", {"predictions": two})
    gap = Accuracies.of(run, ["ablations", "indirect"]).gap(held, ALL)
    assert gap.value == 0
    assert (gap.low, gap.high) == (-1, 1)  # one picture gained, the other one lost


def test_the_interval_is_the_bootstraps():
    found = samples.counted({samples.NONE: 620}, 1000)
    values = torch.arange(1000) < 620
    expected = bootstrap_interval(values.double())
    ours = found.accuracy(NONE)
    assert ours.value == 0.62
    assert ours.low == pytest.approx(expected.low, abs=0.004)
    assert ours.high == pytest.approx(expected.high, abs=0.004)


def test_pairing_shows_what_overlapping_intervals_hide():
    found = samples.counted({samples.NONE: 620, tuple(ALL): 605}, 1000)
    assert found.accuracy(ALL).high > found.accuracy(NONE).low
    drop = found.drop(ALL)
    assert drop.value == pytest.approx(0.015)
    assert drop.low > 0
    assert drop.clear


def test_a_ratio_is_resampled_as_a_whole():
    small = Ablation("small", 3)
    found = samples.counted({samples.NONE: 600, tuple(ALL): 300, tuple(small): 570})
    share = found.ratio((NONE, small), (NONE, ALL))
    assert share.value == pytest.approx(0.1)
    draws = np.random.default_rng(5).binomial(300, 0.1, 4000) / 300
    low, high = np.quantile(draws, (0.025, 0.975))
    assert (share.low, share.high) == (
        pytest.approx(low, abs=0.01),
        pytest.approx(high, abs=0.01),
    )
    assert found.ratio((NONE, small), (ALL, ALL)) is None


def test_text_reconstructions_are_found_by_pool_and_size():
    keys = [("texts:words-10k:128", 9, -1), ("texts:words-10k:4", 9, -1), ("texts:b:4", 8, -1)]
    found = samples.counted({samples.NONE: 5, **dict.fromkeys(keys, 3)}, 10)
    assert {pool: list(sizes) for pool, sizes in found.texts(9).items()} == {"words-10k": [4, 128]}
    assert found.texts(8)["b"][4] == Ablation("texts:b:4", 8)


def test_the_table_has_a_row_per_ablation():
    rows = samples.counted({samples.NONE: 6, tuple(ALL): 4}, 10).table().to_pylist()
    assert [(row["ablation"], row["layer"], row["accuracy"]) for row in rows] == [
        ("all", 3, 0.4),
        ("none", -1, 0.6),
    ]
    assert rows[0]["drop"] == pytest.approx(0.2)
    assert rows[1]["drop"] == 0


def test_what_was_not_computed_is_none(tmp_path: Path):
    found = Accuracies.of(samples.new_run(tmp_path), ["ablations"])
    assert (found.pictures, found.layers("all"), found.texts(3)) == (0, [], {})
    assert found.accuracy(NONE) is None
    assert found.drop(ALL) is None
    assert found.ratio((NONE, ALL), (NONE, ALL)) is None


def test_pictures_without_any_label_leave_no_accuracy(tmp_path: Path):
    run = samples.new_run(tmp_path)
    table = samples.predictions({samples.NONE: [True, True]}, unlabelled=(0, 1))
    run.commit("ablations", "0", {"predictions": table})
    found = Accuracies.of(run, ["ablations"])
    assert (found.pictures, found.unlabelled) == (0, 2)
    assert found.accuracy(NONE) is None
