"""Batches are decided by seed and step, and their tables of truth are true."""

import numpy as np
import pytest

from clipneuron.demo import BACKGROUNDS, THINGS, TRAINING_SEEDS, contents, mentions, sample_scene
from clipneuron.demo.captions import claims
from clipneuron.demo.training.batches import LABELS, count_table, draw, remark, truth_table

SCENES = [sample_scene(seed) for seed in range(60)]


def test_labels_are_the_things_then_the_backgrounds():
    assert tuple(t.name for t in THINGS) + BACKGROUNDS == LABELS


def test_a_step_is_drawn_the_same_again_and_unlike_others():
    one, again, other = draw(0, 3, 4), draw(0, 3, 4), draw(0, 4, 4)
    np.testing.assert_array_equal(one.pictures, again.pictures)
    assert (one.names, one.captions) == (again.names, again.captions)
    assert (one.pictures != other.pictures).any()


def test_labels_are_the_contents_of_the_scenes():
    table = count_table(SCENES)
    for row, scene in zip(table, SCENES, strict=True):
        assert {name for name, count in zip(LABELS, row, strict=True) if count} == contents(scene)


def test_truth_is_what_mentions_says():
    dice = np.random.default_rng(0)
    texts = [remark(scene, dice) for scene in SCENES] + ["cats", "nothing known"]
    truth = truth_table(SCENES, texts)
    expected = [[mentions(text, scene) for text in texts] for scene in SCENES]
    np.testing.assert_array_equal(truth, expected)
    assert truth[:, :60].diagonal().all()


def test_names_say_their_label_and_strangers_say_nothing():
    batch = draw(0, 0, 2, strangers=5)
    assert len(batch.names) == len(LABELS) + 5
    for label, text in zip(LABELS, batch.names, strict=False):
        said = claims(text)
        assert label in {name for name, _ in said.things} | set(said.backgrounds)
    for text in batch.names[len(LABELS) :]:
        assert claims(text).things == ()


def test_every_second_picture_has_a_true_caption():
    batch = draw(0, 0, 6)
    assert batch.truth.shape == (6, 3)
    assert batch.truth[[0, 2, 4], [0, 1, 2]].all()


def test_a_run_stays_within_its_seeds():
    assert TRAINING_SEEDS.stop >= (255 << 32) + (1 << 32)
    with pytest.raises(ValueError, match="goes beyond"):
        draw(0, 1 << 30, 8)
