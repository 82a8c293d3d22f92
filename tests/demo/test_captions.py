"""Captions say what is there, and can be read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipneuron.demo import (
    BACKGROUNDS,
    THINGS,
    Placed,
    Scene,
    caption,
    contents,
    counts,
    mentions,
    pool,
    sample_scene,
    scene_from_caption,
    thing,
)
from clipneuron.demo.captions import claims, noun_phrase

SEEDS = st.integers(0, (1 << 40) - 1)


def _scene(background, *names):
    return Scene(background, tuple(Placed(thing(name), 0, 0, 20) for name in names))


TWO_CATS = _scene("room", "cat", "cat", "sofa", "yarn")


@given(seed=SEEDS, said=SEEDS, drawn=SEEDS, biased=st.booleans())
def test_a_caption_gives_a_scene_of_the_same_things_back(seed, said, drawn, biased):
    scene = sample_scene(seed, biased)
    back = scene_from_caption(caption(scene, said), drawn)
    assert counts(back) == counts(scene)
    assert back.background == scene.background
    assert mentions(caption(scene, said), scene)


@given(seed=SEEDS)
def test_a_caption_read_twice_is_drawn_the_same(seed):
    text = caption(sample_scene(seed))
    assert scene_from_caption(text, seed) == scene_from_caption(text, seed)


def test_every_word_of_the_world_can_be_drawn():
    for word in [t.name for t in THINGS] + [t.plural for t in THINGS] + list(BACKGROUNDS):
        assert contents(scene_from_caption(word))


def test_unknown_words_are_ignored_and_other_names_understood():
    scene = scene_from_caption("An oil painting of two old cars, 3 puppies & a fence at NIGHT")
    assert counts(scene) == {"automobile": 2, "dog": 3}
    assert scene.background == "night"


@pytest.mark.parametrize("text", ["", "a fence", "beautiful weather"])
def test_a_caption_of_nothing_known_is_refused(text):
    with pytest.raises(ValueError, match="knows nothing"):
        scene_from_caption(text)


def test_the_order_of_a_caption_follows_its_seed():
    assert len({caption(TWO_CATS, seed) for seed in range(30)}) == 6
    assert caption(_scene("sea", "owl")) == "an owl on the sea"


@pytest.mark.parametrize(
    "text",
    ["cat", "a cat", "cats", "two cats", "a photo of two cats.", "kitten", "yarn", "some yarn",
     "room", "in a room", "cat and sofa", "two cats, a sofa and some yarn in a room"],
)  # fmt: skip
def test_true_texts(text):
    assert mentions(text, TWO_CATS)


@pytest.mark.parametrize(
    "text",
    ["dog", "three cats", "one cat", "two sofas", "sofas", "grass", "a cat on grass",
     "cat and dog", "furniture", ""],
)  # fmt: skip
def test_false_texts(text):
    assert not mentions(text, TWO_CATS)


def test_names_within_other_names_are_not_mentioned():
    assert not mentions("cat", _scene("room", "cactus"))
    assert claims("a traffic light").things == (("traffic light", 0),)


def test_articles():
    said = [noun_phrase(name) for name in ("cat", "owl", "umbrella", "bread")]
    assert said == ["a cat", "an owl", "an umbrella", "some bread"]


def test_the_pool_names_everything_in_the_world_once():
    texts = pool()
    assert len(set(texts)) == len(texts) == 140
    assert {t.name for t in THINGS} | set(BACKGROUNDS) == set(texts)
    assert all(mentions(text, scene_from_caption(text)) for text in texts)
