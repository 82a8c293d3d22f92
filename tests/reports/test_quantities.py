"""Numbers for people: one thing is not several, and no time or rate is infinite."""

import doctest
from math import inf, nan

import pytest

from clipneuron.reports import quantities
from clipneuron.reports.quantities import counted, duration, per_second, rate, singular


def test_the_examples_hold():
    found = doctest.testmod(quantities)
    assert found.attempted > 5
    assert found.failed == 0


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("shards", "shard"),
        ("lists of words", "list of words"),
        ("classes", "class"),
        ("experiments", "experiment"),
        ("labelled pictures", "labelled picture"),
        ("entries", "entry"),
        ("patches", "patch"),
        ("boxes", "box"),
        ("images", "image"),
    ],
)
def test_one_of_them_is_singular(plural, one):
    assert singular(plural) == one
    assert counted(1, plural) == f"1 {one}"
    assert counted(0, plural) == f"0 {plural}"
    assert counted(30_000, plural) == f"30,000 {plural}"


@pytest.mark.parametrize("seconds", [None, inf, nan])
def test_what_is_no_time_is_a_dash(seconds):
    assert duration(seconds) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.96, "10 s"), (59.7, "1 m"), (3599.9, "1 h"), (86399.9, "1 d")]
)
def test_rounding_gives_no_sixty_seconds(seconds, text):
    assert duration(seconds) == text


def test_a_rate_of_an_instant_is_none():
    assert rate(10_201_822, 1e-7) is None
    assert rate(0, 10) is None
    assert per_second(rate(7, 0.5)) == "14.0/s"
    assert [per_second(value) for value in (None, inf, nan)] == ["-"] * 3
