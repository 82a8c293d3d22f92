"""Options made of the configuration's own fields: their names, values and help are written there and nowhere else.

A field's option is its name; where an earlier section has an option of that name, the section comes before it.
"""

import argparse
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from clipneuron.cli.options import values
from clipneuron.config.atlas import Atlas
from clipneuron.config.attack import Attack
from clipneuron.config.base import Config
from clipneuron.config.cluster import ClusterOptions
from clipneuron.config.concepts import Concepts
from clipneuron.config.evaluation import Evaluation
from clipneuron.config.explanation import Explanation
from clipneuron.config.recipe import Recipe
from clipneuron.config.segmentation import Segmentation
from clipneuron.config.suggestions import suggestion

SECTIONS: dict[str, type[Config]] = {
    "recipe": Recipe,
    "evaluation": Evaluation,
    "attack": Attack,
    "explanation": Explanation,
    "segmentation": Segmentation,
    "cluster": ClusterOptions,
    "concepts": Concepts,
    "atlas": Atlas,
}
"""Every configuration that the command line speaks for, by the name that its fields have in messages."""

SPELLINGS = {"recipe.words": "--explanation-words", "segmentation.methods": "--method"}
"""Options that are not called as their fields: `--words` and `--methods` have always been those of an attack."""

_READERS: dict[Any, Callable[[str], Any]] = {
    int: values.whole,
    float: values.number,
    str: str,
    tuple[int, int]: values.neuron,
}
_WRITTEN: dict[Any, str] = {tuple[int, int]: "LAYER:NEURON"}


def _options() -> dict[str, str]:
    found: dict[str, str] = {}
    for section, config in SECTIONS.items():
        for field, about in config.model_fields.items():
            if about.annotation in SECTIONS.values():
                continue
            name = f"{section}.{field}"
            option = SPELLINGS.get(name, "--" + field.replace("_", "-"))
            found[name] = (
                option if option not in found.values() else f"--{section}-{option.lstrip('-')}"
            )
    return found


OPTIONS = _options()
"""The option of every field, by section.field."""

OTHERS = {
    "runner.max_failed_share": "--max-failed-share",
    "runner.attempts": "--attempts",
    "limits.score": "--fail-score",
    "limits.accuracy": "--fail-accuracy",
}
"""Options of what is no configuration, by the name that messages have for it."""


def add_fields(
    parser: argparse.ArgumentParser,
    section: str,
    title: str = "",
    only: Collection[str] = (),
) -> None:
    """The options of a section's fields, all or `only` some, in a group of their own where a title is given."""
    group: Any = parser.add_argument_group(title) if title else parser
    for name, option in OPTIONS.items():
        place, _, field = name.partition(".")
        if place == section and (not only or field in only):
            about = SECTIONS[section].model_fields[field]
            group.add_argument(option, dest=name, default=None, **_form(field, about))


def given(chosen: argparse.Namespace, section: str) -> dict[str, Any]:
    """What the command line says of a section's fields."""
    found = {
        field: getattr(chosen, f"{section}.{field}", None)
        for field in SECTIONS[section].model_fields
    }
    return {field: value for field, value in found.items() if value is not None}


def faults(error: ValidationError, section: str) -> ValueError:
    """The error of a configuration in words, each wrong field with its option."""
    lines = "\n  ".join(_fault(item, section) for item in error.errors())
    return ValueError(f"the {section} is invalid:\n  {lines}")


def as_options(message: str) -> str:
    """A library's message with the option in place of every field that it names in backquotes.

    >>> as_options("look at `recipe.every` and `evaluation.images`")
    'look at --every and --evaluation-images'
    """
    return re.sub(
        r"`(\w+\.\w+)`", lambda found: (OPTIONS | OTHERS).get(found[1], found[0]), message
    )


def _form(field: str, about: FieldInfo) -> dict[str, Any]:
    """How argparse is to read a field's words, and what it says of them."""
    text = as_options(about.description or "") + _default(about.default)
    return {"help": text.replace("%", "%%"), **_reading(field, about.annotation)}


def _reading(field: str, kind: Any) -> dict[str, Any]:
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if field == "layers":
        return {"type": values.layers_or_all, "metavar": "8,9,10|6-9|all"}
    if field.endswith("layers"):
        return {"type": values.layers, "metavar": "8,9,10|6-9"}
    if get_origin(kind) is tuple:
        return {**_one(field, get_args(kind)[0], many=True), "nargs": "+"}
    return _one(field, kind, many=False)


def _one(field: str, kind: Any, *, many: bool) -> dict[str, Any]:
    """One value. Several words that are to be of a few are judged with the whole configuration, as a file's are."""
    metavar = _WRITTEN.get(kind, field.rpartition("_")[2].upper())
    if get_origin(kind) is Literal:
        words = get_args(kind)
        reader = str if many else values.one_of(words)
        return {"type": reader, "metavar": "{" + ",".join(words) + "}"}
    kinds: Iterable[Any] = (each for each in (kind, *get_args(kind)) if each in _READERS)
    return {"type": _READERS[next(iter(kinds))], "metavar": metavar}


def _default(value: Any) -> str:
    """The end of a help text: the default, where it says more than the text itself."""
    if isinstance(value, bool) or not value or not isinstance(value, str | int | float | tuple):
        return ""
    words = " ".join(map(str, value)) if isinstance(value, tuple) else value
    return f" (default: {words})"


def _fault(item: Mapping[str, Any], section: str) -> str:
    """What is wrong with one field, by its name in a file and its option."""
    names = [str(part) for part in item["loc"] if not isinstance(part, int)]
    field = ".".join(names)
    option = OPTIONS.get(field) or OPTIONS.get(f"{section}.{field}")
    if item["type"] == "missing":
        return f"{field}: give it with {option}, or take a --recipe that has it"
    place = f"{field} ({option})" if option else field
    wrong = item["input"]
    message = str(item["ctx"]["error"]) if item["type"] == "value_error" else item["msg"]
    return f"{place}: {message}, not {wrong!r}{_nearest(item, section)}"


def _nearest(item: Mapping[str, Any], section: str) -> str:
    """What a word that was to be one of a few, or a field's name, was probably meant to be."""
    if item["type"] == "literal_error":
        return suggestion(str(item["input"]), re.findall(r"'([^']*)'", item["ctx"]["expected"]))
    if item["type"] == "extra_forbidden":
        *places, field = item["loc"]
        config = SECTIONS.get(str(places[-1]) if places else section, SECTIONS[section])
        return suggestion(str(field), config.model_fields)
    return ""
