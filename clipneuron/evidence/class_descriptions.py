"""Short descriptions of the pictures of a class, asked of a language model: a pool of texts for neurons.

The paper's pool of this kind comes from its Table 7 and all ImageNet classes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from clipneuron.models.language.captioner import Captioner, Prompt
from clipneuron.models.language.lists import parsed
from clipneuron.models.language.naming import names

__all__ = [
    "EACH",
    "TEMPLATE",
    "Described",
    "Description",
    "Rejected",
    "descriptions",
    "parsed",
    "prompt_of",
    "prompts_of",
]

EACH = 40
"""Descriptions per class (Table 7)."""

LONGEST = 300
"""Characters of a description; CLIP reads 77 tokens and cuts off the rest."""

TEMPLATE = """\
List {each} short descriptions that fit nearly every picture of this category: "{class}".

Each description says one thing that one can see in such pictures. Stay general. It can be about
- a surface or a material,
- the surroundings or the part of the world,
- indoors or outdoors, the weather or the time of year,
- how many things are shown,
- the main colours,
- where the camera was,
- the kind or the style of the picture, such as a drawing or an old photograph,
- what is being done or celebrated.

Begin with words such as "Image with", "Photo taken in" or "Picture showing". Never write "{class}" or another
form of that name. One thing per description: no "and", no "or", no reasons. Answer with a numbered
list and nothing else.
"""
"""What Table 7 of the paper asks for, in other words."""


@dataclass(frozen=True)
class Description:
    """A text and the class that it was given for."""

    class_name: str
    text: str


@dataclass(frozen=True)
class Rejected:
    """A text that was given for a class and left out, and why."""

    class_name: str
    text: str
    reason: str


@dataclass(frozen=True)
class Described:
    """What a captioner answered about classes, in their order."""

    kept: tuple[Description, ...]
    rejected: tuple[Rejected, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The kept texts, all distinct: the lines of a text pool."""
        return tuple(description.text for description in self.kept)


def prompt_of(class_name: str, each: int = EACH, template: str = TEMPLATE) -> str:
    """The request for `each` descriptions of a class; a template holds {class} and perhaps {each}.

    Raises ValueError.
    """
    if "{class}" not in template:
        raise ValueError(f"the template needs a {{class}} for the class's name: {template!r:.200}")
    if each < 1:
        raise ValueError(f"expected to ask for at least one description per class, not {each}")
    return template.replace("{each}", str(each)).replace("{class}", class_name)


def prompts_of(
    classes: Sequence[str], each: int = EACH, *, template: str = TEMPLATE, seed: int = 0
) -> list[Prompt]:
    """The request about every class; `write_prompts` takes them to a language model elsewhere.

    Raises ValueError.
    """
    if isinstance(classes, str) or not classes:
        raise ValueError(f"expected a list of class names, got {classes!r}")
    repeated = [name for name, number in Counter(classes).items() if number > 1]
    if repeated or not all(map(str.strip, classes)):
        raise ValueError(
            f"every class needs a name of its own; given more than once: {', '.join(repeated) or 'an empty name'}"
        )
    return [Prompt(prompt_of(name, each, template), seed=seed, subject=name) for name in classes]


def descriptions(
    captioner: Captioner,
    classes: Sequence[str],
    each: int = EACH,
    *,
    template: str = TEMPLATE,
    seed: int = 0,
    longest: int = LONGEST,
) -> Described:
    """What the captioner says of every class; unfit texts and answers are rejected with a reason.

    Unfit are texts that name their class, empty ones, those of more than `longest` characters and
    repeated ones; case and a final point make no difference. Raises ValueError.
    """
    answers = captioner.answers(prompts_of(classes, each, template=template, seed=seed))
    if len(answers) != len(classes):
        raise ValueError(
            f"{captioner.name} gave {len(answers)} answers to {len(classes)} prompts: expected one for each"
        )
    kept: dict[str, Description] = {}
    rejected: list[Rejected] = []
    for class_name, answer in zip(classes, answers, strict=True):
        reject = partial(Rejected, class_name)
        texts = parsed(answer)
        if not texts:
            rejected.append(reject(answer.strip(), "no list in the answer"))
        for text in texts:
            if reason := _unfit(text, class_name, kept, longest):
                rejected.append(reject(text, reason))
            else:
                kept[_key(text)] = Description(class_name, text)
    return Described(tuple(kept.values()), tuple(rejected))


def _unfit(text: str, class_name: str, kept: dict[str, Description], longest: int) -> str:
    if not any(map(str.isalnum, text)):
        return "empty"
    if len(text) > longest:
        return f"longer than {longest} characters"
    if names(text, class_name):
        return "names the class"
    twin = kept.get(_key(text))
    return f"duplicate of a text for {twin.class_name}" if twin else ""


def _key(text: str) -> str:
    return text.casefold().rstrip(". ")
