"""Which texts may be cues for a class, and which are the class itself in other words (Sec. 5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clipneuron.models.language.naming import names
from clipneuron.models.language.sentences import Sentences

OK = "ok"
SURPLUS = "surplus"

_AT_ONCE = 4
"""Texts that are looked at together, per cue that is wanted: the fewest of a list."""

_ROUNDS = 10
"""How often the next texts are looked at before a list stays short."""


@dataclass(frozen=True)
class TextVerdict:
    """Whether a text can be a cue, and why not."""

    similarity: float
    """The cosine of its sentence embedding to that of c2's name."""
    status: str
    """ok, synonym, blocked, or surplus: one that could be a cue, but enough are better."""
    reason: str | None
    """That in words, None when ok."""


@dataclass(frozen=True)
class Rules:
    """What makes a text no cue."""

    threshold: float = 0.6
    """The least similarity to c2's name that makes a text its synonym; the authors' for all-distilroberta-v1."""
    blocked: tuple[str, ...] = ()
    """Texts that name one of these, in whatever form, are left out for any pair."""


class Judge:
    """Says of texts, once of each, whether they can make a picture of c1 be taken for c2."""

    def __init__(self, c1: str, c2: str, rules: Rules, sentences: Sentences) -> None:
        self.c1, self.c2 = c1, c2
        self._rules, self._sentences = rules, sentences
        self._known: dict[str, TextVerdict] = {}

    def listed(self, texts: Sequence[str], count: int) -> list[TextVerdict]:
        """Verdicts of texts that stand best first, from the top down to the `count`-th cue or somewhat further.

        Fewer are cues where `texts` end before, or many of them are none: at most 40 per wanted cue are looked at.
        """
        block = _AT_ONCE * count
        found: list[TextVerdict] = []
        cues: list[int] = []
        for start in range(0, min(len(texts), _ROUNDS * block), block):
            found += self.verdicts(texts[start : start + block])
            cues = [place for place, verdict in enumerate(found) if verdict.status == OK]
            if len(cues) >= count:
                break
        for place in cues[count:]:
            reason = f"{count} better ones were found"
            found[place] = replace(found[place], status=SURPLUS, reason=reason)
        return found[: max([block, *(place + 1 for place in cues[:count])])]

    def verdicts(self, texts: Sequence[str]) -> list[TextVerdict]:
        """A verdict per text, in their order."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            similarities = self._sentences.similarities(new, [self.c2])[:, 0].tolist()
            for text, similarity in zip(new, similarities, strict=True):
                self._known[text] = self._verdict(text, similarity)
        return [self._known[text] for text in texts]

    def _verdict(self, text: str, similarity: float) -> TextVerdict:
        rules = self._rules
        if names(text, self.c2):
            return TextVerdict(similarity, "synonym", f"it names {self.c2!r}")
        if similarity >= rules.threshold:
            reason = (
                f"{similarity:.3f} similar to {self.c2!r}, of which {rules.threshold:g} is too much"
            )
            return TextVerdict(similarity, "synonym", reason)
        if names(text, self.c1):
            return TextVerdict(
                similarity, "blocked", f"it names {self.c1!r}, which is in every picture"
            )
        for word in rules.blocked:
            if names(text, word):
                return TextVerdict(similarity, "blocked", f"it names {word!r} of the block list")
        return TextVerdict(similarity, OK, None)
