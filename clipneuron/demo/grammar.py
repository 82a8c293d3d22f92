"""The demo world's "language model": it knows what keeps company with what, and says so in lists."""

import re
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from clipneuron.demo.backgrounds import PHRASES
from clipneuron.demo.captions import claims, listed, noun_phrase
from clipneuron.demo.things import BIASES, CLASSES, thing
from clipneuron.models.language import Prompt

_OPENINGS = ("", "a photo of ", "a picture of ")
_TOGETHER = (1, 2, 3)
"""How many companions a statement names: as many as a scene can have."""


class GrammarCaptioner:
    """A `Captioner` that answers requests for descriptions of the world's ten classes.

    The answer is a numbered list of as many statements as the request's first number asks for, if
    there are so many; each is true of some biased scenes of the class and does not name it.
    """

    name = "demo-grammar-1"

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """One list per prompt about a class; of anything else, that it is not known."""
        return [_answer(prompt) for prompt in prompts]


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
    wanted = re.search("[0-9]+", prompt.user)
    everything = statements(class_name)
    dice = np.random.default_rng([prompt.seed, CLASSES.index(class_name)])
    chosen = dice.permutation(len(everything))[: int(wanted[0]) if wanted else len(everything)]
    lines = [f"{number}. {everything[at]}" for number, at in enumerate(chosen, 1)]
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
