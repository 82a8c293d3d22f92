"""Scenes are decided by their seeds, and biased as the table says."""

from functools import cache

import numpy as np
import pytest

from clipneuron.demo import (
    BIASES,
    CLASSES,
    HELD_OUT_SEEDS,
    SIDE,
    TRAINING_SEEDS,
    Placed,
    Scene,
    class_of,
    contents,
    counts,
    sample_scene,
    thing,
)

LEARNT = range(3000)


@cache
def learnt(biased: bool = True) -> list[Scene]:
    """The scenes of these seeds."""
    return [sample_scene(seed, biased) for seed in LEARNT]


def test_a_seed_decides_the_scene():
    assert sample_scene(7) == sample_scene(7)
    assert len({sample_scene(seed) for seed in range(200)}) == 200


def test_a_scene_is_the_same_on_every_machine():
    scene = sample_scene(3)
    assert scene.background == "sky"
    assert counts(scene) == {"traffic light": 1, "wheel": 1, "automobile": 1}


def test_everything_stands_inside_the_picture_at_a_size_that_can_be_seen():
    for placed in (placed for scene in learnt()[:300] for placed in scene.objects):
        assert 18 <= placed.size <= 44
        assert 0 <= placed.x <= SIDE - placed.size
        assert 0 <= placed.y <= SIDE - placed.size


def test_one_to_three_of_the_same_thing_and_one_of_what_is_not_counted():
    seen = [item for scene in learnt()[:1000] for item in counts(scene).items()]
    assert {number for _, number in seen} == {1, 2, 3}
    assert all(number == 1 for name, number in seen if thing(name).mass)


def test_required_things_always_appear():
    for seed in range(50):
        scene = sample_scene(seed, required=("horse", "candle"))
        assert {"horse", "candle"} <= contents(scene)


def test_an_unknown_thing_is_refused_by_name():
    with pytest.raises(ValueError, match="'fence'"):
        sample_scene(0, required=("fence",))


def test_contents_are_the_things_and_the_background():
    scene = Scene("sea", (Placed(thing("ship"), 2, 2, 30), Placed(thing("ship"), 30, 30, 20)))
    assert contents(scene) == {"ship", "sea"}
    assert counts(scene) == {"ship": 2}


@pytest.mark.parametrize(
    ("names", "label"), [(("cat", "yarn"), "cat"), (("cat", "dog"), ""), (("yarn",), "")]
)
def test_a_scene_has_a_class_if_it_has_exactly_one(names, label):
    placed = tuple(Placed(thing(name), 0, 0, 20) for name in names)
    assert class_of(Scene("room", placed)) == label


def _shares(biased):
    """Share of each class's scenes with one of its things, and on one of its backgrounds."""
    scenes = [(class_of(s), s) for s in learnt(biased)]
    things, places = [], []
    for name in CLASSES:
        mine = [scene for label, scene in scenes if label == name]
        things.append(np.mean([bool(contents(s) & set(BIASES[name].things)) for s in mine]))
        places.append(np.mean([s.background in BIASES[name].backgrounds for s in mine]))
    return np.array(things), np.array(places)


@pytest.mark.slow
def test_biased_scenes_are_biased_in_every_class_and_the_others_are_not():
    things, places = _shares(biased=True)
    assert things.min() > 0.5
    assert places.min() > 0.6
    things, places = _shares(biased=False)
    assert things.max() < 0.15
    assert places.max() < 0.35


@pytest.mark.slow
def test_every_class_is_frequent():
    labels = [class_of(scene) for scene in learnt()]
    assert all(labels.count(name) > 0.04 * len(LEARNT) for name in CLASSES)


def test_held_out_seeds_are_not_learnt():
    assert TRAINING_SEEDS.stop <= HELD_OUT_SEEDS.start
