"""Which masks go with which pictures: those of the same name."""

import re
import unicodedata
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

    What tools add to the names of masks is left out, unless a picture is called so itself. One mask and one picture go
    together whatever their names.

    >>> matched(["a/1.jpg", "a/2.jpg"], ["1_mask.png", "3.png"])
    Matches(of={'a/1.jpg': ['1_mask.png']}, lonely=['3.png'])
    """
    if len(pictures) == len(masks) == 1:
        return Matches({pictures[0]: masks}, [])
    stems = {picture: _composed(picture) for picture in pictures}
    whole, names = {*stems.values()}, Counter(map(_name, stems.values()))
    by_stem, by_name = defaultdict(list), defaultdict(list)
    for mask in masks:
        stem = _composed(mask)
        if stem not in whole and names[_name(stem)] != 1:
            stem = _END.sub("", stem)
        by_stem[stem].append(mask)
        by_name[_name(stem)].append(mask)
    found: dict[str, Sequence[str]] = {}
    for picture, stem in stems.items():
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


def _composed(path: str) -> str:
    """Its stem, with accents as part of their letters: some systems write them apart."""
    return unicodedata.normalize("NFC", stem_of(path))


def _name(stem: str) -> str:
    return stem.rpartition("/")[2]
