"""The world's own painter draws what a caption says."""

import numpy as np

from clipneuron.demo import render, scene_from_caption
from clipneuron.demo.painter import ScenePainter, SceneTruth
from clipneuron.models.painting.painter import Order, Painter


def test_pictures_are_those_of_the_captions_scenes():
    orders = [Order("two cats and a sofa in a room", seed) for seed in (3, 4, 3)] + [
        Order("An OWL, elegantly")
    ]
    assert isinstance(ScenePainter(), Painter)
    found = ScenePainter().paint(orders)
    for order, painted in zip(orders, found, strict=True):
        assert painted.reason == ""
        assert np.array_equal(painted.pixels, render(scene_from_caption(order.caption, order.seed)))
    assert np.array_equal(found[0].pixels, found[2].pixels)
    assert not np.array_equal(found[0].pixels, found[1].pixels)


def test_what_the_world_does_not_know_is_a_reason():
    known, unknown = ScenePainter().paint([Order("a cat"), Order("a cloudless day")])
    assert known.pixels is not None
    assert unknown.pixels is None
    assert "knows nothing named in 'a cloudless day'" in unknown.reason


def test_the_truth_about_a_scene_is_what_was_painted():
    orders = [Order("two cars and a horse on a beach", 1), Order("horses in a city", 2)]
    asked = ["horse", "automobile", "car", "beach", "stop sign", "horse food"]
    assert SceneTruth().shows(asked, orders, [b"", b""]) == [
        [True, True, True, True, None, None],
        [True, False, False, False, None, None],
    ]
    unsaid = [Order("a horse", seed) for seed in range(40)]  # the background is the seed's
    said = SceneTruth().shows(["beach"], unsaid, [b""] * 40)
    drawn = [scene_from_caption("a horse", seed).background == "beach" for seed in range(40)]
    assert said == [[truth] for truth in drawn]
    assert any(drawn)
