"""The cards of pictures: what they show, as concepts say, and which neurons act on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clipneuron.atlas.cards import Concepts, Heat, PictureCard, Word
from clipneuron.atlas.gather.overview import Overview
from clipneuron.atlas.gather.sources import Sources
from clipneuron.lens.attribution.methods import METHODS
from clipneuron.store.run import Run

ACTIVE = 24
"""Neurons that are shown of a picture."""

Maps = tuple[str, list[tuple[str, Heat]]]
"""A class, and where it is by each method."""

_ORDER = {name: place for place, name in enumerate(METHODS)}


@dataclass(frozen=True)
class PictureReader:
    """Reads what the tables say of some pictures."""

    run: Run
    sources: Sources

    def active(self, first: int, last: int) -> dict[int, list[Mapping[str, Any]]]:
        """The neurons that act on each picture with a number from `first` to `last`, the most active first."""
        own = [("index", ">=", first), ("index", "<=", last)]
        rows = self.run.read(self.sources.shown, "active_neurons", filters=own)
        order = [("index", "ascending"), ("excess", "descending"), ("layer", "ascending")]
        return _by_index(rows.sort_by(order))

    def concepts(self, first: int, last: int) -> dict[int, list[Mapping[str, Any]]]:
        """The concepts of each of them by method and rank; none where the swept pictures have none."""
        if not self.sources.concepts:
            return {}
        own = [("index", ">=", first), ("index", "<=", last), ("status", "==", "ok")]
        columns = ["index", "method", "rank", "concept", "score", "status"]
        rows = self.run.read(
            self.sources.concepts, "picture_concepts", columns=columns, filters=own
        )
        return _by_index(rows.sort_by([("index", "ascending"), ("rank", "ascending")]))

    def maps(self, numbers: Sequence[int]) -> dict[str, Maps]:
        """The maps of each of these pictures, by its key."""
        return maps_of(self.run, self.sources.class_maps, [*map(str, numbers)])


def maps_of(run: Run, stage: str, keys: Sequence[str]) -> dict[str, Maps]:
    """Of each picture by its key, the class it is taken for and where that is by every method; raises StoreError.

    None where no stage is named.
    """
    if not stage or not keys:
        return {}
    found: dict[str, Maps] = {}
    for row in run.read(stage, "class_maps", filters=[("key", "in", [*keys])]).to_pylist():
        rows, values = row["rows"], row["map"]
        heat = Heat(rows, len(values) // rows, values, row["scale"])
        _, heats = found.setdefault(row["key"], (row["class"], []))
        heats.append((row["method"], heat))
    for _, heats in found.values():
        heats.sort(key=lambda item: _ORDER[item[0]])
    return {
        key: (name, [(METHODS[method].title, heat) for method, heat in heats])
        for key, (name, heats) in found.items()
    }


def picture_card(
    overview: Overview,
    index: int,
    active: Sequence[Mapping[str, Any]],
    concepts: Sequence[Mapping[str, Any]],
    maps: Maps = ("", []),
    classes: int = 0,
) -> PictureCard:
    """The card of a picture of the collection, by its number; its maps are of the nearest of so many classes."""
    picture = overview.pictures.of(index)
    assert picture is not None, "a picture that has a page has a thumbnail"
    rows = (
        (overview.card(overview.row((row["layer"], row["neuron"]))), row["excess"])
        for row in active[:ACTIVE]
    )
    seen, heats = maps
    return PictureCard(
        picture=picture,
        concepts=tuple(_by_method(concepts)),
        active=tuple(rows),
        heats=tuple(heats),
        heats_of=seen,
        classes=classes,
    )


def _by_method(rows: Sequence[Mapping[str, Any]]) -> Iterable[Concepts]:
    methods = dict.fromkeys(row["method"] for row in rows if row["concept"] is not None)
    for method in methods:
        own = [row for row in rows if row["method"] == method and row["concept"] is not None]
        yield Concepts(method, tuple(Word(row["concept"], row["score"]) for row in own))


def _by_index(rows: pa.Table) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows.to_pylist():
        found.setdefault(row["index"], []).append(row)
    return found
