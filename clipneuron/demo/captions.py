"""Captions of scenes, read and written: "two cats, a sofa and some yarn in a room".

A caption claims things, with or without a number, and perhaps a background. `claims` reads any
text; words that the world does not know are ignored.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from clipneuron.demo.backgrounds import BACKGROUNDS, PHRASES
from clipneuron.demo.scenes import Scene, arranged, counts
from clipneuron.demo.things import CLASSES, THINGS, thing
from clipneuron.models.language.naming import plural_of

NUMBERS = {"a": 0, "an": 0, "one": 1, "two": 2, "three": 3, "1": 1, "2": 2, "3": 3}
"""Number words; 0 is "at least one"."""

_COUNT_WORDS = {1: "a", 2: "two", 3: "three"}


@dataclass(frozen=True)
class Claims:
    """What a text claims about a scene."""

    things: tuple[tuple[str, int], ...]
    """Name and exact count of each thing; 0 is any count, -1 (a bare plural) is two or more."""
    backgrounds: tuple[str, ...]


def true_of(count: int, claimed: int) -> bool:
    """Whether a thing seen `count` times satisfies a claimed number (see `Claims.things`)."""
    if claimed > 0:
        return count == claimed
    return count >= (2 if claimed < 0 else 1)


@cache
def claims(text: str) -> Claims:
    """What the text claims, by its known words; the last number given for a thing counts."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    nouns, found, backgrounds = _nouns(), dict[str, int](), list[str]()
    number: int | None = None
    for first, second in zip(words, [*words, ""][1:], strict=True):
        match = nouns.get(f"{first} {second}") or nouns.get(first)
        if match is not None:
            name, plural = match
            found[name] = (-1 if plural else 0) if number is None else number
            number = None
        elif first in NUMBERS:
            number = NUMBERS[first]
        elif first in PHRASES:
            backgrounds.append(first)
            number = None
    return Claims(tuple(found.items()), tuple(dict.fromkeys(backgrounds)))


@cache
def _nouns() -> dict[str, tuple[str, bool]]:
    """Every noun of the world -> the thing's name and whether the noun is a plural."""
    nouns: dict[str, tuple[str, bool]] = {}
    for item in THINGS:
        nouns[item.plural] = (item.name, True)
        for alias in item.aliases:
            nouns[alias] = (item.name, False)
            nouns[plural_of(alias)] = (item.name, True)
    return nouns | {item.name: (item.name, False) for item in THINGS}


def mentions(text: str, scene: Scene) -> bool:
    """Whether the text is true of the scene: it claims something, and all of it holds.

    "two cats" means exactly two, "cats" two or more, "cat" and "a cat" one or more.
    """
    claimed = claims(text)
    if not claimed.things and not claimed.backgrounds:
        return False
    seen = counts(scene)
    return all(true_of(seen.get(name, 0), number) for name, number in claimed.things) and all(
        name == scene.background for name in claimed.backgrounds
    )


def noun_phrase(name: str, count: int = 1) -> str:
    """The thing with its count: "a cat", "two cats", "an owl", "some bread"."""
    item = thing(name)
    if item.mass:
        return f"some {name}"
    if count > 1:
        return f"{_COUNT_WORDS[count]} {item.plural}"
    return f"{'an' if name[0] in 'aeiou' and not name.startswith('uni') else 'a'} {name}"


def listed(phrases: Iterable[str]) -> str:
    """ "x", "x and y" or "x, y and z"."""
    *first, last = phrases
    return f"{', '.join(first)} and {last}" if first else last


def caption(scene: Scene, seed: int = 0) -> str:
    """Everything in the scene in one phrase; the seed chooses the order of the things.

    `scene_from_caption` returns a scene with the same things, counts and background.
    """
    seen = counts(scene)
    names = list(np.random.default_rng(seed).permutation(sorted(seen))) if seen else []
    things = listed(noun_phrase(name, seen[name]) for name in names) if names else "nothing"
    return f"{things} {PHRASES[scene.background]}"


def scene_from_caption(text: str, seed: int = 0) -> Scene:
    """A scene of which the caption is true; the seed determines its layout.

    Unknown words are ignored. A background that is not mentioned is drawn uniformly, and of several
    the first is taken. ValueError if the caption names nothing that the world knows.
    """
    claimed = claims(text)
    if not claimed.things and not claimed.backgrounds:
        raise ValueError(
            f"the demo world knows nothing named in {text!r}: "
            f"name one of its things ({', '.join(CLASSES)}, ...) or backgrounds "
            f"({', '.join(BACKGROUNDS)})"
        )
    number = {name: {0: 1, -1: 2}.get(count, count) for name, count in claimed.things}
    return arranged(claimed.backgrounds[0] if claimed.backgrounds else "", number, seed)


@cache
def pool() -> tuple[str, ...]:
    """The words to describe neurons with: the names of all things and backgrounds."""
    return (*(item.name for item in THINGS), *BACKGROUNDS)
