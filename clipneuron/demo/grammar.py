"""The demo world's "language model": it knows which things co-occur with which classes, and lists them."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from clipneuron.demo.backgrounds import BACKGROUNDS, PHRASES
from clipneuron.demo.captions import claims, listed, noun_phrase
from clipneuron.demo.things import BIASES, CLASSES, by_name, thing
from clipneuron.models.language.captioner import Prompt
from clipneuron.models.language.lists import parsed

_OPENINGS = ("", "a photo of ", "a picture of ")
_TOGETHER = (1, 2, 3)
"""How many companions a statement may name: as many as a scene can have."""
_CUES = (2, 3, 4)
"""How many cues a caption uses, if there are so many."""
_CROWD = 6
"""The most things in a scene."""
_LIST = 50
"""Captions in a list where the prompt gives no number."""
_LONGEST = 500
"""The most captions in a list."""
_TRIES = 20
"""Captions drawn for each that is wanted, since some come up twice."""


class GrammarCaptioner:
    """A `Captioner` that answers requests for descriptions of the world's ten classes, and for captions of pairs.

    The answer is a numbered list of as many statements as the first number in the request asks for, if there are so
    many. A statement about a class is true of some biased scenes of the class and does not name it. A statement about
    a pair c1:c2 (the prompt's subject) is a scene of c1 without c2, with things and a place from the prompt's own list,
    as far as the world knows them.
    """

    name = "demo-grammar-2"

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """One list per prompt about a class or a pair; for other subjects, a sentence that they are unknown."""
        return [
            _captions(prompt) if ":" in prompt.subject else _answer(prompt) for prompt in prompts
        ]


def statements(class_name: str) -> tuple[str, ...]:
    """Every statement of the grammar about a class, all distinct: places, companions, one of each.

    ValueError if the world has no such class.
    """
    if class_name not in CLASSES:
        raise ValueError(f"no class is called {class_name!r}; there are {', '.join(CLASSES)}")
    bias = BIASES[class_name]
    places = [PHRASES[name] for name in bias.backgrounds]
    company = [
        listed(map(noun_phrase, chosen))
        for number in _TOGETHER
        for chosen in combinations(bias.things, number)
    ]
    alone = [f"one {name}" for name in bias.things if not thing(name).mass]
    settings = [f"{kind} {place}" for kind in ("a photo", "a picture") for place in places]
    seen = [f"{start}{phrase}" for start in _OPENINGS for phrase in company]
    placed = [f"{text} {place}" for text in [*seen, *alone] for place in places]
    return (*settings, *seen, *alone, *placed)


def _answer(prompt: Prompt) -> str:
    class_name = _class_of(prompt)
    if not class_name:
        return f"I know no pictures of {prompt.subject or 'that'}: I only know the demo world's classes."
    everything = statements(class_name)
    dice = np.random.default_rng([prompt.seed, CLASSES.index(class_name)])
    chosen = dice.permutation(len(everything))[: _wanted(prompt, len(everything))]
    return _numbered([everything[at] for at in chosen])


@dataclass(frozen=True)
class _Cues:
    """The things (with their counts) and places that the world knows in a list of words."""

    things: dict[str, int]
    places: tuple[str, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> "_Cues":
        claimed = [claims(word) for word in words]
        # Without a number, a bare plural means two; the first word about a thing counts.
        number = {
            name: {0: 1, -1: 2}.get(count, count)
            for one in reversed(claimed)
            for name, count in one.things
        }
        order = dict.fromkeys(name for one in claimed for name, _ in one.things)
        places = dict.fromkeys(place for one in claimed for place in one.backgrounds)
        return cls({name: number[name] for name in order}, tuple(places))


def _captions(prompt: Prompt) -> str:
    """Distinct captions of the first class among cues of the second."""
    c1, _, c2 = prompt.subject.partition(":")
    if c1 not in by_name():
        return f"I know no pictures of {c1}: I only know the demo world's things."
    cues = _Cues.of(parsed(prompt.user))
    for known, _ in claims(c2).things:
        cues.things.pop(known, None)
    # Prompts with other words draw other numbers, even under the same seed.
    dice = np.random.default_rng([prompt.seed, zlib.crc32(prompt.user.encode("utf-8", "replace"))])
    wanted, found = min(_wanted(prompt, _LIST), _LONGEST), dict[str, None]()
    for _ in range(_TRIES * wanted):
        found[_caption(c1, cues, dice)] = None
        if len(found) == wanted:
            break
    return _numbered(list(found))


def _caption(c1: str, cues: _Cues, dice: np.random.Generator) -> str:
    """A caption of c1 with some cues, as many as fit into a scene."""
    company = [name for name in cues.things if name != c1]
    crowd = {c1: cues.things.get(c1, 1)}
    for at in dice.permutation(len(company))[: int(dice.choice(_CUES))]:
        if sum(crowd.values()) + cues.things[company[at]] <= _CROWD:
            crowd[company[at]] = cues.things[company[at]]
    phrases = [noun_phrase(name, crowd[name]) for name in dice.permutation(list(crowd))]
    opening = _OPENINGS[dice.integers(len(_OPENINGS))]
    return f"{opening}{listed(phrases)} {_place(cues.places, dice)}".rstrip()


def _place(places: Sequence[str], dice: np.random.Generator) -> str:
    """One of the places; if there are none, half the time one drawn from all backgrounds, otherwise none."""
    if not places and dice.random() < 0.5:
        return ""
    chosen = places or BACKGROUNDS
    return PHRASES[chosen[int(dice.integers(len(chosen)))]]


def _wanted(prompt: Prompt, otherwise: int) -> int:
    """The first number in the prompt."""
    number = re.search("[0-9]+", prompt.user)
    return int(number[0]) if number else otherwise


def _numbered(texts: Sequence[str]) -> str:
    lines = [f"{number}. {text}" for number, text in enumerate(texts, 1)]
    return "\n".join([f"Here are {len(lines)} descriptions:", "", *lines])


def _class_of(prompt: Prompt) -> str:
    """The class that is the prompt's subject, or the only one that its text names; "" if there is none."""
    if prompt.subject:
        return next((name for name in CLASSES if prompt.subject.lower() in _nouns(name)), "")
    named = [name for name, _ in claims(prompt.user).things if name in CLASSES]
    return named[0] if len(named) == 1 else ""


def _nouns(class_name: str) -> tuple[str, ...]:
    item = thing(class_name)
    return (item.name, item.plural, *item.aliases)
