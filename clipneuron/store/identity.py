"""When two runs are the same run: the fingerprint of what changes their numbers, and their differences as text."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple


def canonical(value: object) -> str:
    """The one JSON text of a value: keys sorted, floats exact (shortest text that reads back equal).

    Raises ValueError for anything that JSON can't represent, including NaN and infinities.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"an identity is made of plain JSON values: {error}") from error


def fingerprint(identity: Mapping[str, object]) -> str:
    """The first 16 hexadecimal digits of the sha256 of an identity's canonical JSON.

    >>> fingerprint({"layers": [8, 9], "model": "ViT-B-32"})
    'f5af7d1cce2fee17'
    """
    return hashlib.sha256(canonical(identity).encode()).hexdigest()[:16]


def without(identity: Mapping[str, object], field: str) -> dict[str, object]:
    """An identity but for one field: two that are equal then differ in that field at most."""
    return {name: value for name, value in identity.items() if name != field}


class Difference(NamedTuple):
    """A key that two identities differ in, nested keys joined by dots, with both values as JSON or "nothing"."""

    key: str
    one: str
    other: str


def changed(one: Mapping[str, object], other: Mapping[str, object]) -> list[Difference]:
    """Every key whose values differ, by name.

    >>> changed({"model": {"layers": 8}}, {"model": {"layers": 9}, "top": 40})
    [Difference(key='model.layers', one='8', other='9'), Difference(key='top', one='nothing', other='40')]
    """
    left, right = dict(_leaves(one)), dict(_leaves(other))
    return [
        Difference(key, left.get(key, "nothing"), right.get(key, "nothing"))
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]


def differences(stored: Mapping[str, object], asked: Mapping[str, object]) -> list[str]:
    """One line per key that differs, nested keys joined by dots.

    >>> differences({"layers": [8, 9]}, {"layers": [9], "split": "equal"})
    ['layers: stored [8, 9], asked [9]', 'split: stored nothing, asked "equal"']
    """
    found = changed(stored, asked)
    return [f"{key}: stored {one}, asked {other}" for key, one, other in found]


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and (value or not path):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, json.dumps(value, sort_keys=True)
