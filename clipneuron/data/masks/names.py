"""What the values of masks are called: the lists of published data sets, or a small file."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


VOC = _split(
    "background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, dining table, dog, horse, "
    "motorbike, person, potted plant, sheep, sofa, train, tv monitor"
)
"""Pascal VOC's classes by value (https://host.robots.ox.ac.uk/pascal/VOC/voc2012), where 255 is unknown."""

COCO = _split(
    "background, person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, "
    "stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, "
    "umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, "
    "orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, "
    "laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, "
    "scissors, teddy bear, hair drier, toothbrush"
)
"""COCO's 80 classes of things from 1 on, without the gaps in COCO's own numbers, as most masks of values have them."""

LARGEST = 2**16 - 1
"""Of the values that masks have."""

LISTS = {"voc": VOC, "coco": COCO}

_BACKGROUND = {"background", "_background_"}
_UNKNOWN = {"unknown", "void", "ignore", "ignored", "unlabeled", "unlabelled"}
_HEADS = {"value", "id", "index", "class", "class_id", "image", "file", "picture", "label"}


@dataclass(frozen=True)
class ValueNames:
    """What the values of a mask mean."""

    names: Mapping[int, str]
    """Of classes; several values may have one name."""
    background: frozenset[int]
    unknown: frozenset[int]

    @property
    def first(self) -> dict[int, int]:
        """Each value and the first one of the same name, by which the class goes."""
        firsts: dict[str, int] = {}
        return {value: firsts.setdefault(name, value) for value, name in sorted(self.names.items())}


def names_in(spec: str, field: str) -> dict[str, str]:
    """A list of this name ("voc", "coco"), or what a file says.

    The file is JSON, an object such as {"1": "cat"} or a list from 0 on, or it has a line for each value (or picture),
    a comma or tab, and a name. Raises ValueError, which names the `field` of the configuration.
    """
    if spec in LISTS:
        return {str(value): name for value, name in enumerate(LISTS[spec])}
    try:
        text = Path(spec).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"can't read the names of classes in {spec}, which {field} names: {error}; expected a file, or one of "
            f"{', '.join(LISTS)}"
        ) from error
    return _checked(_pairs(text, spec), spec)


def value_names(names: Mapping[str, str], where: str = "the names of classes") -> ValueNames:
    """The names by value; background and void (unknown, ignore, unlabelled) are no classes.

    0 is background and 255 unknown unless they are called something else. Raises ValueError for a key that is no value,
    and where there is no class.
    """
    odd = next((key for key in names if not key.strip().isdecimal()), None)
    if odd is not None:
        raise ValueError(
            f"{where}: {odd!r} is no value of a mask: expected whole numbers, each with the name of its class"
        )
    called = {int(key): name for key, name in names.items()}
    if max(called, default=0) > LARGEST:
        raise ValueError(
            f"{where}: {max(called):,} is no value of a mask: expected at most {LARGEST:,}"
        )
    special = {value: name.lower() for value, name in called.items()}
    background = {value for value, name in special.items() if name in _BACKGROUND}
    unknown = {value for value, name in special.items() if name in _UNKNOWN}
    classes = {v: name for v, name in called.items() if v not in background | unknown}
    if not classes:
        raise ValueError(f"{where} name no class: expected names beside background and void")
    return ValueNames(
        classes,
        frozenset(background | ({0} - called.keys())),
        frozenset(unknown | ({255} - called.keys())),
    )


def _pairs(text: str, where: str) -> Iterable[tuple[str, Any]]:
    if text.lstrip()[:1] not in ("{", "["):
        return _lines(text, where)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    if isinstance(found, list):
        return [(str(value), name) for value, name in enumerate(found)]
    return list(found.items())


def _lines(text: str, where: str) -> Iterable[tuple[str, Any]]:
    mark = "\t" if "\t" in text else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    rows = [row for row in ([cell.strip() for cell in line] for line in lines) if any(row)]
    if rows and rows[0][0].lower() in _HEADS:
        rows = rows[1:]
    for row in rows:
        if len(row) != 2:
            raise ValueError(
                f"{where}: {mark.join(row)!r:.80} is no value and a name: expected two parts a line, such as 3,cat"
            )
    return [(key, name) for key, name in rows]


def _checked(pairs: Iterable[tuple[str, Any]], where: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for key, name in pairs:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where}: {key!r} is called {name!r:.40}: expected a name (text)")
        if names.setdefault(key, name.strip()) != name.strip():
            raise ValueError(f"{where}: {key!r} is called both {names[key]!r} and {name!r}")
    if not names:
        raise ValueError(f"{where} has no names: expected a line for each class, such as 3,cat")
    return names
