"""Layers as people write them, on a command line or in a file."""

from typing import Annotated, Any

from pydantic import BeforeValidator

_FORMS = "expected 8,9,10 or 6-9"
_FROM_THE_END = (
    "counts from the end: layers are numbered from the input, the first one 0. Write their numbers, such as 8-10 for "
    "the last three of twelve but the very last, which has no second-order effect; `clipneuron plan` prints how many "
    "layers a model has"
)


def layers_in(text: str) -> tuple[int, ...]:
    """The numbers that a text such as `8,9,10` or `6-9` lists; raises ValueError for any other.

    >>> layers_in("0,6-9")
    (0, 6, 7, 8, 9)
    """
    if text.strip() == "all":
        raise ValueError(f"'all' is not possible here: {_FORMS}")
    if ":" in text or text.strip().startswith("-"):
        raise ValueError(f"{text!r} {_FROM_THE_END}")
    found: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            asked = range(int(first), int(last if dash else first) + 1)
            if not asked:
                raise ValueError(part)
            found += asked
    except ValueError:
        raise ValueError(f"{text!r} is no list of layers: {_FORMS}") from None
    return tuple(found)


def layers_or_all_in(text: str) -> tuple[int, ...]:
    """As `layers_in`, and for `all` nothing, which stands for all of them.

    >>> layers_or_all_in("all")
    ()
    """
    return () if text.strip() == "all" else layers_in(text)


def _read(value: Any) -> Any:
    return layers_in(value) if isinstance(value, str) else _from_the_start(value)


def _read_or_all(value: Any) -> Any:
    return layers_or_all_in(value) if isinstance(value, str) else _from_the_start(value)


def _from_the_start(value: Any) -> Any:
    if isinstance(value, list | tuple):
        for layer in value:
            if isinstance(layer, int) and layer < 0:
                raise ValueError(f"{layer} {_FROM_THE_END}")
    return value


Layers = Annotated[tuple[int, ...], BeforeValidator(_read)]
"""A list of numbers, or a text that lists them."""

LayersOrAll = Annotated[tuple[int, ...], BeforeValidator(_read_or_all)]
"""As `Layers`, or `all`, which is stored as no number at all."""
