"""The demo world's "language model": it knows what keeps company with what, and says so in lists."""

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
"""How many companions a statement names: as many as a scene can have."""
_CUES = (2, 3, 4)
"""How many cues a caption takes up, if it is given so many."""
_CROWD = 6
"""Things that a scene has room for."""
_LIST = 50
_LONGEST = 500
"""Captions in a list where the prompt does not say how many, and at most."""
_PATIENCE = 20
"""Captions thought of for each that is wanted, since some come up twice."""


class GrammarCaptioner:
    """A `Captioner` that answers requests for descriptions of the world's ten classes, and for captions of pairs.

    The answer is a numbered list of as many statements as the request's first number asks for, if
    there are so many. One of a class is true of some biased scenes of the class and does not name it. One of a
    pair c1:c2 (the prompt's subject) is a scene of c1 with things and a place out of the prompt's own list, of which
    it takes up what the world knows, and without c2.
    """

    name = "demo-grammar-2"

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """One list per prompt about a class or a pair; of anything else, that it is not known."""
        return [
            _captions(prompt) if ":" in prompt.subject else _answer(prompt) for prompt in prompts
        ]


def statements(class_name: str) -> tuple[str, ...]:
    """Everything that the grammar can say of a class, all distinct: places, companions, one of each.

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
    seen = [f"{start}{said}" for start in _OPENINGS for said in company]
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
    """What the world knows of a list of words: things and how often, places."""

    things: dict[str, int]
    places: tuple[str, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> "_Cues":
        said = [claims(word) for word in words]
        # Of a number that is not said, a bare plural is two; the first word of a thing counts.
        number = {
            name: {0: 1, -1: 2}.get(count, count)
            for one in reversed(said)
            for name, count in one.things
        }
        order = dict.fromkeys(name for one in said for name, _ in one.things)
        places = dict.fromkeys(place for one in said for place in one.backgrounds)
        return cls({name: number[name] for name in order}, tuple(places))


def _captions(prompt: Prompt) -> str:
    """Distinct captions of the first class among cues of the second."""
    c1, _, c2 = prompt.subject.partition(":")
    if c1 not in by_name():
        return f"I know no pictures of {c1}: I only know the demo world's things."
    cues = _Cues.of(parsed(prompt.user))
    for known, _ in claims(c2).things:
        cues.things.pop(known, None)
    # Prompts of other words have other dice, even under the same seed.
    dice = np.random.default_rng([prompt.seed, zlib.crc32(prompt.user.encode("utf-8", "replace"))])
    wanted, found = min(_wanted(prompt, _LIST), _LONGEST), dict[str, None]()
    for _ in range(_PATIENCE * wanted):
        found[_caption(c1, cues, dice)] = None
        if len(found) == wanted:
            break
    return _numbered(list(found))


def _caption(c1: str, cues: _Cues, dice: np.random.Generator) -> str:
    """One thing after another that the scene has room for, c1 among them."""
    company = [name for name in cues.things if name != c1]
    crowd = {c1: cues.things.get(c1, 1)}
    for at in dice.permutation(len(company))[: int(dice.choice(_CUES))]:
        if sum(crowd.values()) + cues.things[company[at]] <= _CROWD:
            crowd[company[at]] = cues.things[company[at]]
    said = [noun_phrase(name, crowd[name]) for name in dice.permutation(list(crowd))]
    opening = _OPENINGS[dice.integers(len(_OPENINGS))]
    return f"{opening}{listed(said)} {_place(cues.places, dice)}".rstrip()


def _place(places: Sequence[str], dice: np.random.Generator) -> str:
    """One of the places; without any, half the time one that is drawn from all, as a painter would draw it."""
    if not places and dice.random() < 0.5:
        return ""
    chosen = places or BACKGROUNDS
    return PHRASES[chosen[int(dice.integers(len(chosen)))]]


def _wanted(prompt: Prompt, otherwise: int) -> int:
    """The first number that the prompt says."""
    said = re.search("[0-9]+", prompt.user)
    return int(said[0]) if said else otherwise


def _numbered(texts: Sequence[str]) -> str:
    lines = [f"{number}. {text}" for number, text in enumerate(texts, 1)]
    return "\n".join([f"Here are {len(lines)} descriptions:", "", *lines])


def _class_of(prompt: Prompt) -> str:
    """The class that is the prompt's subject, or that alone its text names; "" if there is none."""
    if prompt.subject:
        return next((name for name in CLASSES if prompt.subject.lower() in _nouns(name)), "")
    named = [name for name, _ in claims(prompt.user).things if name in CLASSES]
    return named[0] if len(named) == 1 else ""


def _nouns(class_name: str) -> tuple[str, ...]:
    item = thing(class_name)
    return (item.name, item.plural, *item.aliases)
