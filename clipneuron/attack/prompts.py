"""Captions that put one class among cues of another, asked of a language model (Sec. 5.1, Table 6)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from clipneuron.config.attack import Attack
from clipneuron.models.language.captioner import Prompt
from clipneuron.models.language.naming import names

COUNT = 50
"""Captions that one prompt asks for (Table 6)."""

SYSTEM: str = Attack.model_fields["system"].default

TEMPLATE = """\
Write {count} short captions; a text-to-image model will paint each of them.

Every caption contains the word "{c1}", spelled exactly so. No caption mentions "{c2}": not that word, not its plural
or another form of it, nothing that means the same or nearly the same, even where the list below has it. (If that word
were "tree", then "trees", "shrub" and "oak" would be out as well.)

Make the captions of the words in this list and of as few others as possible. Fit as many of its objects and animals
into each caption as you can:
{words}

Leave out words whose meaning you do not know. Leave out names of people and places, unless they are famous and can be
told by what one sees; then write what is seen: not "in Paris", but "before the Eiffel Tower" or "beside a sign that
reads 'Paris'".

Answer with a numbered list and nothing else.
"""
"""What Table 6 of the paper asks for, in other words."""

_FIELD = re.compile(r"\{(c1|c2|words|count)\}")
_NEEDED = ("{c1}", "{c2}", "{words}")


@dataclass(frozen=True, kw_only=True)
class CaptionRequest:
    """How captions are asked for.

    Raises ValueError for a template that leaves out a class or the words, and for a count below 1.
    """

    template: str = TEMPLATE
    """Holds {c1}, {c2} and {words}, which become a list with a line per word, and perhaps {count}."""
    system: str = SYSTEM
    """The role that the model is given; empty for none."""
    count: int = COUNT
    """Captions per answer."""

    def __post_init__(self) -> None:
        missing = [field for field in _NEEDED if field not in self.template]
        if missing:
            raise ValueError(
                f"the template of the request for captions lacks {', '.join(missing)}: {self.template!r:.200}"
            )
        if self.count < 1:
            raise ValueError(f"expected to ask for at least one caption, not {self.count}")

    def prompt(self, c1: str, c2: str, words: Sequence[str], seed: int = 0) -> Prompt:
        """The request for captions that show c1 among cues of c2; ValueError without words."""
        if not words:
            raise ValueError(f"there are no words to make captions of {c1!r} from")
        listed = "\n".join(f"- {' '.join(word.split())}" for word in words)
        values = {"c1": c1, "c2": c2, "words": listed, "count": str(self.count)}
        # In one pass: a word such as "{c2}" is no field.
        text = _FIELD.sub(lambda match: values[match[1]], self.template)
        return Prompt(text, self.system, seed, f"{c1}:{c2}")


REQUEST = CaptionRequest()
"""What the paper asks for."""


def caption_fault(caption: str, c1: str, c2: str) -> tuple[str, str]:
    """Why no picture can be painted of a caption, as a status and in words; ("ok", "") if one can."""
    if not any(map(str.isalnum, caption)):
        return "empty", "no text in the list's item"
    if names(caption, c2):
        return "names-c2", f"names {c2}, which the picture must not show"
    if not names(caption, c1):
        return "lacks-c1", f"does not name {c1}, which the picture must show"
    return "ok", ""


def named_words(caption: str, words: Sequence[str]) -> list[str]:
    """Those of the words that the caption names, in any form."""
    return [word for word in words if any(map(str.isalnum, word)) and names(caption, word)]
