"""Which masks go with which pictures: those of the same name."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from clipneuron.data.passed_over.names import SUFFIXES

_END = re.compile(r"[-_.](masks?|seg|segmentation|gt|labels?)$", re.IGNORECASE)
"""What tools add to the names of masks."""


class Matches(NamedTuple):
    """Masks by the pictures that they go with."""

    of: Mapping[str, Sequence[str]]
    """The masks of each picture that has any, in order."""
    lonely: Sequence[str]
    """The masks that no picture goes with."""


def matched(pictures: Sequence[str], masks: Sequence[str]) -> Matches:
    """Masks with their pictures by path without its ending, or by the name alone where only one picture has it.

    One mask and one picture go together whatever their names.

    >>> matched(["a/1.jpg", "a/2.jpg"], ["1_mask.png", "3.png"])
    Matches(of={'a/1.jpg': ['1_mask.png']}, lonely=['3.png'])
    """
    if len(pictures) == len(masks) == 1:
        return Matches({pictures[0]: masks}, [])
    by_stem, by_name = defaultdict(list), defaultdict(list)
    for mask in masks:
        stem = _END.sub("", stem_of(mask))
        by_stem[stem].append(mask)
        by_name[_name(stem)].append(mask)
    names = Counter(_name(stem_of(picture)) for picture in pictures)
    found: dict[str, Sequence[str]] = {}
    for picture in pictures:
        stem = stem_of(picture)
        own = by_stem.get(stem) or (by_name.get(_name(stem)) if names[_name(stem)] == 1 else None)
        if own:
            found[picture] = own
    used = {mask for own in found.values() for mask in own}
    return Matches(found, [mask for mask in masks if mask not in used])


def stem_of(path: str) -> str:
    """A path without the ending of a picture's name.

    >>> stem_of("a/1.x.JPG"), stem_of("rows.parquet#3")
    ('a/1.x', 'rows.parquet#3')
    """
    pure = PurePosixPath(path)
    return str(pure.with_suffix("")) if pure.suffix.lower() in SUFFIXES else path


def _name(stem: str) -> str:
    return stem.rpartition("/")[2]
