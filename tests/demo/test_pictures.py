"""Pictures show what the scene holds, and masks say where."""

from dataclasses import replace

import numpy as np

from clipneuron.demo import BACKGROUNDS, Placed, Scene, masks, render, sample_scene, thing
from clipneuron.demo.backgrounds import background


def _without(scene, number):
    """The scene without one of its objects."""
    return replace(scene, objects=tuple(o for i, o in enumerate(scene.objects) if i != number))


def test_a_scene_decides_its_picture():
    scene = sample_scene(5)
    assert render(scene).shape == (64, 64, 3)
    assert render(scene).dtype == np.uint8
    np.testing.assert_array_equal(render(scene), render(sample_scene(5)))


def test_an_empty_scene_is_its_background_where_nothing_is_hard():
    np.testing.assert_array_equal(render(Scene("sea", (), 3), hardness=0), background("sea", 3))


def test_the_same_scene_looks_another_way_with_another_look():
    scene = Scene("sea", (Placed(thing("cat"), 10, 10, 40),), 3)
    looks = {render(replace(scene, look=look)).tobytes() for look in range(20)}
    assert len(looks) == 20
    shapes = {masks(replace(scene, look=look)).tobytes() for look in range(20)}
    assert len(shapes) > 15  # turned, stretched, by other hands


def test_a_harder_world_is_further_from_the_plain_one():
    scenes = [sample_scene(seed) for seed in range(40)]
    away = [
        np.mean([np.abs(render(s, k) - render(s, 0).astype(float)).mean() for s in scenes])
        for k in (0.0, 0.3, 0.6, 1.0)
    ]
    assert away[0] == 0
    assert away == sorted(away)


def test_clutter_hides_what_it_covers():
    scenes = [sample_scene(seed) for seed in range(60)]
    covered = [np.mean([masks(s, k).sum() for s in scenes]) for k in (0.0, 1.0)]
    assert covered[1] < covered[0]


def test_backgrounds_differ_in_name_and_variant():
    paintings = {background(name, v).tobytes() for name in BACKGROUNDS for v in range(8)}
    assert len(paintings) == 8 * len(BACKGROUNDS)


def test_masks_do_not_overlap():
    for seed in range(100):
        assert masks(sample_scene(seed)).sum(0).max() <= 1


def test_taking_an_object_away_changes_its_mask_and_little_else():
    for seed in range(60):
        scene = sample_scene(seed)
        for number, mask in enumerate(masks(scene)):
            changed = (render(scene) != render(_without(scene, number))).any(-1)
            placed = scene.objects[number]
            inside = np.zeros((64, 64), dtype=bool)
            inside[placed.y : placed.y + placed.size, placed.x : placed.x + placed.size] = True
            assert not (changed & ~inside).any()
            # A pixel of the mask can have the colour of what it hides, but few have.
            assert (changed & mask).sum() >= 0.7 * mask.sum()


def test_what_is_drawn_later_hides_what_is_drawn_earlier():
    castle, cat = Placed(thing("castle"), 10, 10, 40), Placed(thing("cat"), 10, 10, 40)
    hidden, seen = masks(Scene("room", (cat, castle)))
    assert hidden.sum() < 0.7 * masks(Scene("room", (cat,)))[0].sum()
    np.testing.assert_array_equal(seen, masks(Scene("room", (castle,)))[0])


def test_most_of_everything_is_seen():
    shares = [
        mask.sum() / max(1, masks(Scene(scene.background, (placed,)))[0].sum())
        for scene in map(sample_scene, range(300))
        for mask, placed in zip(masks(scene), scene.objects, strict=True)
    ]
    assert np.mean(shares) > 0.85
    assert np.mean(np.array(shares) < 0.2) < 0.02


def test_mirroring_mirrors():
    left = masks(Scene("room", (Placed(thing("horse"), 12, 12, 40),)), 0)[0]
    right = masks(Scene("room", (Placed(thing("horse"), 12, 12, 40, mirrored=True),)), 0)[0]
    np.testing.assert_array_equal(left[:, 12:52], right[:, 12:52][:, ::-1])
