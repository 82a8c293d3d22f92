"""The cards of pictures: what they show, as concepts say, and which neurons act on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clipneuron.atlas.cards import Concepts, PictureCard, Word
from clipneuron.atlas.gather.overview import Overview
from clipneuron.atlas.gather.sources import Sources
from clipneuron.store.run import Run

ACTIVE = 24
"""Neurons that are shown of a picture."""


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


def picture_card(
    overview: Overview,
    index: int,
    active: Sequence[Mapping[str, Any]],
    concepts: Sequence[Mapping[str, Any]],
) -> PictureCard:
    """The card of a picture of the collection, by its number."""
    picture = overview.pictures.of(index)
    assert picture is not None, "a picture that has a page has a thumbnail"
    rows = (
        (overview.card(overview.row((row["layer"], row["neuron"]))), row["excess"])
        for row in active[:ACTIVE]
    )
    return PictureCard(picture=picture, concepts=tuple(_by_method(concepts)), active=tuple(rows))


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
