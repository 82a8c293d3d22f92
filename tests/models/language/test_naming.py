"""A name is found in every form and not in other words."""

import doctest

import pytest

from clipneuron.models.language import naming
from clipneuron.models.language.naming import inflections, names, plural_of


def test_the_example():
    assert doctest.testmod(naming).attempted > 0
    assert doctest.testmod(naming).failed == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [("Two Cats.", "cat"), ("the CAT’s eye", "cat"), ("cat-like eyes", "cat"), ("wolves", "wolf"),
     ("a mouse", "mice"), ("dormice", "dormouse"), ("Firemen at work", "fireman"), ("ponies", "pony"),
     ("buses", "bus"), ("cacti", "cactus"), ("cactuses", "cactus"), ("leaves", "leaf"), ("knives", "knife"),
     ("two deer", "deer"), ("boxes", "box"), ("churches", "church"), ("potatoes", "potato"), ("quizzes", "quiz"),
     ("a sunglass lens", "sunglasses"), ("jean", "jeans"), ("shipping crates", "ship"), ("they shipped it", "ship"),
     ("horsing around", "horse"), ("an air-plane", "airplane"), ("air plane", "airplane"),
     ("Trafficlights", "traffic light"), ("great white sharks", "great white shark"), ("crème brûlée", "Creme Brulee"),
     ("three oxen", "ox"), ("daisies", "daisy"), ("a goose", "geese"), ("axes", "axis"), ("calf", "calves")],
)  # fmt: skip
def test_named(text, name):
    assert names(text, name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("a cactus", "cat"), ("concatenated", "cat"), ("a caring mother", "car"), ("a scary carpet", "car"),
     ("a shark", "great white shark"), ("white great shark", "great white shark"), ("a king's ring", "kin"),
     ("", "cat"), ("a dogma", "dog"), ("truckle", "truck"), ("bu", "bus"), ("birch", "bird")],
)  # fmt: skip
def test_not_named(text, name):
    assert not names(text, name)


def test_a_name_without_letters_is_refused():
    with pytest.raises(ValueError, match="no letter or digit"):
        names("a cat", " - ")


def test_every_word_has_itself_and_its_plural_among_its_forms():
    for word in ("bass", "fish", "s", "ax", "2cv", "lens"):
        assert word in inflections(word)
    assert {"lenses", "lens"} <= inflections("lens")


def test_plurals_are_the_usual_ones_and_among_the_forms():
    plurals = {
        "cat": "cats", "fox": "foxes", "cherry": "cherries", "key": "keys", "mouse": "mice", "deer": "deer",
        "church": "churches", "cactus": "cacti", "lotus": "lotuses", "wolf": "wolves", "potato": "potatoes",
        "piano": "pianos",
    }  # fmt: skip
    assert {noun: plural_of(noun) for noun in plurals} == plurals
    assert all(plural in inflections(noun) for noun, plural in plurals.items())
