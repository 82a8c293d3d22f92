"""Whether an English text names something, in whatever form of the word."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

_WORD = re.compile(r"[^\W_]+")
_SIBILANTS = ("s", "x", "z", "ch", "sh")
_IRREGULAR = {
    "man": "men",
    "mouse": "mice",
    "louse": "lice",
    "goose": "geese",
    "foot": "feet",
    "tooth": "teeth",
    "child": "children",
    "ox": "oxen",
    "die": "dice",
    "person": "people",
}
"""Endings of nouns and of their plurals."""
_USUAL = {
    "deer": "deer",
    "sheep": "sheep",
    "fish": "fish",
    "wolf": "wolves",
    "leaf": "leaves",
    "cactus": "cacti",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "volcano": "volcanoes",
}
"""The usual plural of words whose ending allows several, or another."""


def names(text: str, name: str) -> bool:
    """Whether the text contains the name: in any case, number and verb form, joined or in parts.

    Of a name of several words all must be there: "a shark" does not name the great white shark.

    >>> [names(text, "stop sign") for text in ("Two STOP-signs", "a stopsign's pole", "a sign")]
    [True, True, False]
    """
    words, parts = _words(text), _words(name)
    if not parts:
        raise ValueError(f"{name!r} has no letter or digit: expected the name of something")
    forms = _forms(parts)
    # One word more than the name has: "air plane" is an airplane.
    spans = ((at, at + length) for at in range(len(words)) for length in range(1, len(parts) + 2))
    return any("".join(words[start:end]) in forms for start, end in spans if end <= len(words))


class NameIndex:
    """Many names at once: which of them a text contains, or is, in whatever form of the words, as `names` has it."""

    def __init__(self, known: Sequence[str]) -> None:
        self._places: dict[str, list[tuple[int, int]]] = {}
        for place, name in enumerate(known):
            parts = _words(name)
            for form in _forms(parts) if parts else ():
                self._places.setdefault(form, []).append((place, len(parts)))
        self._longest = max(
            (parts for found in self._places.values() for _, parts in found), default=0
        )

    def within(self, text: str) -> set[int]:
        """The places of the names that the text contains.

        >>> sorted(NameIndex(["dog", "stop sign", "signs"]).within("Two STOP-signs"))
        [1, 2]
        """
        words = _words(text)
        return {
            place
            for start in range(len(words))
            for length in range(1, min(self._longest + 1, len(words) - start) + 1)
            for place, parts in self._places.get("".join(words[start : start + length]), ())
            if length <= parts + 1
        }

    def equal(self, text: str) -> set[int]:
        """The places of the names that the whole text is.

        >>> NameIndex(["dog", "hot dog"]).equal("hot dogs")
        {1}
        """
        return {place for place, _ in self._places.get("".join(_words(text)), ())}


def plural_of(noun: str) -> str:
    """The usual plural of an English noun in lower case.

    >>> [plural_of(noun) for noun in ("cat", "fox", "cherry", "wolf", "mouse")]
    ['cats', 'foxes', 'cherries', 'wolves', 'mice']
    """
    if known := (_USUAL | _IRREGULAR).get(noun):
        return known
    if noun.endswith(_SIBILANTS):
        return noun + "es"
    return noun[:-1] + "ies" if _ends_in_y(noun) else noun + "s"


def _words(text: str) -> list[str]:
    """The words in lower case and without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _WORD.findall(bare)


def _forms(parts: list[str]) -> frozenset[str]:
    before = "".join(parts[:-1])
    return frozenset(before + form for form in inflections(parts[-1]))


@cache
def inflections(word: str) -> frozenset[str]:
    """The forms of an English word in lower case: singular, plural, -ing, -ed; some that nobody uses."""
    bases = {word} | _singulars(word)
    return frozenset(bases.union(*(_plurals(base) | _verbs(base) for base in bases)))


def _singulars(word: str) -> set[str]:
    found = {
        word.removesuffix(plural) + single
        for single, plural in _IRREGULAR.items()
        if word.endswith(plural)
    }
    if word.endswith("ies"):
        found.add(word[:-3] + "y")
    if word.endswith("ves"):
        found |= {word[:-3] + "f", word[:-3] + "fe"}
    if word.endswith("es") and word[:-2].endswith((*_SIBILANTS, "o")):
        found.add(word[:-2])
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        found.add(word[:-1])
    return {single for single in found if len(single) > 2}


def _plurals(word: str) -> set[str]:
    found = {word + "s"}
    if word.endswith((*_SIBILANTS, "o")):
        found.add(word + "es")
    # a Latin or Greek one, "quizzes" and "wolves" beside the regular form: the dictionary is not here
    for ending, plural in (("us", "i"), ("is", "es"), ("z", "zzes"), ("f", "ves"), ("fe", "ves")):
        if word.endswith(ending):
            found.add(word.removesuffix(ending) + plural)
    if _ends_in_y(word):
        found.add(word[:-1] + "ies")
    return found | {
        word.removesuffix(single) + plural
        for single, plural in _IRREGULAR.items()
        if word.endswith(single)
    }


def _verbs(word: str) -> set[str]:
    if word.endswith("e"):
        return {word[:-1] + "ing", word + "d"}
    # "shipping", but "caring" is no form of "car": a short vowel doubles the consonant.
    short = re.fullmatch("[^aeiou]*[aeiou][^aeiouwxy]", word)
    stem = word + word[-1] if short else word
    past = word[:-1] + "ied" if _ends_in_y(word) else stem + "ed"
    return {stem + "ing", past}


def _ends_in_y(word: str) -> bool:
    """Whether it ends in y after a consonant, which becomes an i: ponies."""
    return re.search("[^aeiou]y$", word) is not None
