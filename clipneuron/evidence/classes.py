"""Which class of a list each label of a collection is: joined by name where names match, else by number or place."""

import hashlib
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.collections import Collection
from clipneuron.data.labels import is_number, ordered
from clipneuron.data.listing import natural_order
from clipneuron.reports.quantities import counted

_SHOWN = 5


class Example(NamedTuple):
    """One class as the collection and as the list has it."""

    label: str
    """The name of the class in the collection, or its number."""
    name: str
    """Its name in the list."""
    picture: str
    """The first picture of the class."""


@dataclass(frozen=True)
class Join:
    """The classes of a list and the place in it that each label of a collection has."""

    how: str
    """What the join goes by: name, synset id, number or position."""
    names: tuple[str, ...]
    places: Mapping[int, int]

    def applied(self, pictures: Collection) -> Collection:
        """The collection with the classes' places in the list for labels; itself where they are already."""
        if all(label == place for label, place in self.places.items()):
            return pictures
        column = pictures.listing["label"]
        labels = pa.array(self.places, pa.int32())
        places = pa.array(self.places.values(), pa.int32()).take(
            pc.index_in(column, value_set=labels)
        )
        number = pictures.listing.schema.get_field_index("label")
        listing = pictures.listing.set_column(
            number, pictures.listing.schema.field("label"), places
        )
        exact = f"{pictures.digest} {json.dumps(sorted(self.places.items()))}"
        return replace(
            pictures,
            listing=listing,
            by_name=False,
            label_names={self.places[label]: name for label, name in pictures.label_names.items()},
            digest=hashlib.sha256(exact.encode()).hexdigest(),
        )

    def examples(self, pictures: Collection) -> list[Example]:
        """A few classes of the collection as it was before the join, spread over all."""
        labels = sorted(self.places)
        count = min(_SHOWN, len(labels))
        shown = [labels[place * (len(labels) - 1) // max(1, count - 1)] for place in range(count)]
        return [self._example(pictures, label) for label in shown]

    def _example(self, pictures: Collection, label: int) -> Example:
        row = pc.index(pictures.listing["label"], pa.scalar(label, pa.int32())).as_py()
        shown = pictures.label_names.get(label, str(label))
        return Example(
            shown, self.names[self.places[label]], pictures.listing["image"][row].as_py()
        )

    def summary(self, pictures: Collection) -> str:
        """How many classes were joined by what, and how many pictures have none."""
        unknown = pictures.listing["label"].null_count
        without = f"; unknown for {counted(unknown, 'images')}" if unknown else ""
        return f"{len(self.places):,} of {len(self.names):,} classes, joined by {self.how}{without}"

    def describe(self, pictures: Collection) -> str:
        """The join in a line, with examples that show whether it is right."""
        shown = ", ".join(
            f"{each.label} -> {each.name} ({each.picture})" for each in self.examples(pictures)
        )
        return f"{self.summary(pictures)}: {shown}"


def joined(pictures: Collection, names: Sequence[str], ids: Sequence[str], what: str) -> Join:
    """The join of the labels of a collection with a list of classes, which may have `ids` beside its names.

    Raises ValueError, which calls the two lists what `what` says, where they do not fit.
    """
    if len(names) < 2:
        raise ValueError(
            f"{what}: the list has no more than {', '.join(names) or 'nothing'}, so that nothing can be taken for "
            "another: name all classes, one per line"
        )
    known = pc.unique(pictures.listing["label"]).drop_null().sort().to_pylist()
    shown = {label: pictures.label_names.get(label) for label in known}
    by_id = {label: _id(name) for label, name in shown.items()}
    for how, called, words in (("name", shown, names), ("synset id", by_id, ids)):
        matches = _matches(called, words)
        if all(len(matches[label]) == 1 for label in known):
            return Join(how, tuple(names), {label: matches[label][0] for label in known})
    matches = _matches(shown, names)
    folders = [name or "" for name in shown.values()]
    if not pictures.by_name:
        places = _by_number(known, known, names, what)
        return _agreeing(Join("number", tuple(names), places), shown, matches, what)
    if all(map(is_number, folders)):
        numbers = list(map(int, folders))
        places = _by_number(known, numbers, names, what)
        if len(numbers) != len(names) and (min(numbers), max(numbers)) != (0, len(names) - 1):
            # A few folders of another list would get this one's first names; with both ends, some are only empty.
            raise ValueError(_unequal(shown, matches, names, what))
        return Join("number", tuple(names), places)
    if len(known) != len(names):
        raise ValueError(_unequal(shown, matches, names, what))
    _check_one_order(folders, what)
    places = {label: place for place, label in enumerate(known)}
    return _agreeing(Join("position", tuple(names), places), shown, matches, what)


def _matches(shown: Mapping[int, str | None], words: Iterable[str]) -> dict[int, list[int]]:
    """The places in a list at which each label's name stands; case, underscores and hyphens make no difference."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(words):
        places[_folded(word)].append(place)
    return {
        label: [] if name is None else places.get(_folded(name), [])
        for label, name in shown.items()
    }


def _id(name: str | None) -> str | None:
    """The synset id that a name is, or begins with: n01440764, n01440764_tench."""
    found = re.match(r"n\d{8}(?!\d)", name or "")
    return found and found[0]


def _folded(name: str) -> str:
    # Disks of different makers write accents differently.
    composed = unicodedata.normalize("NFKC", name).strip().casefold()
    return " ".join(re.split(r"[\s_-]+", composed))


def _by_number(
    known: Sequence[int], numbers: Sequence[int], names: Sequence[str], what: str
) -> dict[int, int]:
    """Each label's place by a number, from 0; or from 1, where that is what all of them together mean."""
    first, last, count = min(numbers), max(numbers), len(names)
    if first == 1 and last == count == len(numbers):
        return {label: number - 1 for label, number in zip(known, numbers, strict=True)}
    if last >= count:
        raise ValueError(
            f"{what}: the classes of the pictures are numbered from {first} to {last}, and the list has {count} names, "
            f"numbered from 0 to {count - 1}; give a list with one name per line in the order of the numbers"
        )
    return dict(zip(known, numbers, strict=True))


def _agreeing(
    join: Join, shown: Mapping[int, str | None], matches: Mapping[int, Sequence[int]], what: str
) -> Join:
    """The join, unless names that are in both lists say that it is wrong.

    Stated numbers are believed if one name in twenty disagrees, since words have several meanings: ImageNet's Cardigan
    is a dog, and its cardigan is not.
    """
    wrong = [
        label for label, places in matches.items() if places and join.places[label] not in places
    ]
    matched = sum(map(bool, matches.values()))
    if wrong and (join.how == "position" or 20 * len(wrong) > matched):
        label = wrong[0]
        raise ValueError(
            f"{what}: {counted(len(wrong), 'classes')} would get another class's name by {join.how}; "
            f"{shown[label]!r} would be called "
            f"{join.names[join.places[label]]!r}, but the list has {join.names[matches[label][0]]!r} elsewhere. "
            f"{_missing(shown, matches)}: give every class a name that is in the list, or a list in the order of the "
            "labels"
        )
    return join


def _unequal(
    shown: Mapping[int, str | None],
    matches: Mapping[int, Sequence[int]],
    names: Sequence[str],
    what: str,
) -> str:
    return (
        f"{what}: the pictures have {counted(len(shown), 'classes')} and the list has {len(names)}, so that they can "
        f"only be joined by name. {_missing(shown, matches)}: correct them, or give a file with one name per line "
        "in the order of the labels"
    )


def _missing(shown: Mapping[int, str | None], matches: Mapping[int, Sequence[int]]) -> str:
    absent = [str(shown[label] or label) for label, places in matches.items() if not places]
    twice = [str(shown[label]) for label, places in matches.items() if len(places) > 1]
    found = absent or twice
    why = "not in the list" if absent else "in it more than once"
    return f"{counted(len(found), '', 'are')} {why}, such as {', '.join(map(repr, found[:3]))}"


def _check_one_order(folders: Sequence[str], what: str) -> None:
    """Raises ValueError where the names have two orders, since a place in a list then means nothing."""
    natural = [folders[place] for place in natural_order(pa.chunked_array([folders])).to_pylist()]
    if natural != ordered(folders):
        place = next(n for n, name in enumerate(natural) if name != ordered(folders)[n])
        raise ValueError(
            f"{what}: the classes have one order as text and another by the numbers in their names "
            f"({natural[place]!r} or {ordered(folders)[place]!r} is number {place}), so that they cannot be joined by "
            "position: give every class a name that is in the list, or number the folders alike, such as 01 and 10"
        )
