"""The cards of words: which neurons use them, which other words these use, and which pictures they are concepts of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from clipneuron.atlas.cards import Shown, WordCard
from clipneuron.atlas.finding.words import Uses
from clipneuron.atlas.gather.overview import Overview
from clipneuron.atlas.gather.sources import Sources
from clipneuron.config.concepts import CONTROL, METHODS
from clipneuron.store.run import Run

NEURONS = 120
"""Neurons of a word that its page shows."""
COMPANIONS = 24
PICTURES = 12


class Named(NamedTuple):
    """Pictures whose concepts name words."""

    method: str
    """Who named them."""
    pictures: Mapping[str, Sequence[tuple[int, float]]]
    """By word, numbers of pictures with the concept's score, the highest first."""


@dataclass(frozen=True)
class ConceptReader:
    """Reads in which pictures words are named."""

    run: Run
    sources: Sources

    def named(self, words: Sequence[str]) -> Named:
        """By the run's first method that is no control: scores of several are not on one scale; raises StoreError."""
        stage, method = self.sources.concept_index, self._method()
        if not stage or not method:
            return Named("", {})
        own = [("concept", "in", [*words]), ("method", "==", method)]
        columns = ["concept", "score", "index"]
        rows = self.run.read(stage, "concept_pictures", columns=columns, filters=own)
        order = [("concept", "ascending"), ("score", "descending"), ("index", "ascending")]
        found: dict[str, list[tuple[int, float]]] = {}
        for row in rows.sort_by(order).to_pylist():
            found.setdefault(row["concept"], []).append((row["index"], row["score"]))
        return Named(method, found)

    def _method(self) -> str:
        """The methods of one shard of pictures are those of all."""
        stage = self.sources.concepts
        some = sorted(self.run.done(stage))[:1] if stage else []
        if not some:
            return ""
        rows = self.run.read(stage, "picture_concepts", shards=some, columns=["method"])
        there = {*rows["method"].unique().to_pylist()} - {CONTROL}
        return next((name for name in METHODS if name in there), "")


def word_card(
    uses: Uses,
    overview: Overview,
    number: int,
    pools: tuple[str, ...],
    named: Sequence[tuple[int, float]] = (),
    method: str = "",
) -> WordCard:
    """The card of a word by its number in `uses`; `named` are pictures whose concepts name it, with their scores."""
    text = uses.texts[number]
    own = uses.neurons(number, NEURONS)
    return WordCard(
        word=text,
        pools=pools,
        neurons=tuple((overview.card(overview.row(key)), weight) for key, weight in own),
        count=int(uses.counts[number]),
        shares=tuple(uses.companions(number, COMPANIONS)),
        pictures=_shown(overview, named),
        named_by=method,
    )


def _shown(overview: Overview, named: Sequence[tuple[int, float]]) -> tuple[Shown, ...]:
    """The first pictures that have pages; one that nobody shows has no file in the site."""
    there = ((overview.pictures.of(index), score) for index, score in named)
    shown = (Shown(picture, score) for picture, score in there if picture is not None)
    return tuple(islice(shown, PICTURES))
