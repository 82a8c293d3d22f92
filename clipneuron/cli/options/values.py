"""How values are written on the command line, and what is answered to those that mean nothing."""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from clipneuron.config.suggestions import suggestion
from clipneuron.config.values.layers import layers_in, layers_or_all_in
from clipneuron.reports.quantities import SECONDS

_Value = TypeVar("_Value")


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def number(text: str) -> float:
    """Any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def positive(text: str) -> int:
    """A count of at least one."""
    found = whole(text)
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: expected 1 or more")
    return found


def from_zero(text: str) -> int:
    """A count, or none."""
    found = whole(text)
    if found < 0:
        raise argparse.ArgumentTypeError(f"{text} is too few: expected 0 or more")
    return found


def above_zero(text: str) -> float:
    """A finite number above 0."""
    found = number(text)
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is too little: expected a number above 0")
    return found


def price(text: str) -> float:
    """A price: any number from 0."""
    found = number(text)
    if not 0 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no price: expected a number from 0")
    return found


def share(text: str) -> float:
    """A number from 0 to 1."""
    found = number(text)
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: expected a number from 0 to 1")
    return found


def layers(text: str) -> tuple[int, ...]:
    """`8,9,10`, `6-9` or a mixture."""
    return _parsed(layers_in, text)


def layers_or_all(text: str) -> tuple[int, ...]:
    """As `layers`, or `all`."""
    return _parsed(layers_or_all_in, text)


def neuron(text: str) -> tuple[int, int]:
    """`9:391`: a layer and a neuron."""
    layer, colon, place = text.partition(":")
    if not (colon and layer.isdigit() and place.isdigit()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no neuron: expected LAYER:NEURON, such as 9:391"
        )
    return int(layer), int(place)


def seconds(text: str) -> float:
    """A time span such as 90s, 30m, 24h or 7d."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time span: expected 90s, 30m, 24h or 7d")
    return float(found[1]) * SECONDS[found[2]]


def notified(text: str) -> str:
    """Where a notice can go to."""
    from clipneuron.operations.usage.notices import checked_target

    try:
        return checked_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def one_of(words: Sequence[str], what: str = "choice") -> Callable[[str], str]:
    """One of these words; to any other the answer lists them all and names the nearest."""

    def checked(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no {what}: expected {', '.join(words)}{suggestion(text, words)}"
            )
        return text

    return checked


def _parsed(read: Callable[[str], _Value], text: str) -> _Value:
    """What a configuration reads in the text; its error is the parser's."""
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
