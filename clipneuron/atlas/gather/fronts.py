"""The files of a site that there are once: its front, its map, layers, pairs of classes, and what its script reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files as package_files

from clipneuron.atlas.cards import PictureCard
from clipneuron.atlas.finding import chunks
from clipneuron.atlas.finding.search import Entry, index
from clipneuron.atlas.gather.front import claims_of, front_card, map_card, meanings_of
from clipneuron.atlas.gather.layers import LayerCards
from clipneuron.atlas.gather.pictures import maps_of
from clipneuron.atlas.gather.shared import Shared
from clipneuron.store.run import Run

_STATIC = "static"
_FEW = 3
"""Neurons of a word to which the search leads at once."""


@dataclass(frozen=True)
class FrontPages:
    """Makes them from a run and what all pages share."""

    run: Run
    shared: Shared

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Address and content of each; raises StoreError."""
        yield from self._front()
        yield from self._layers()
        yield from self._pairs()
        yield from self._searched()
        yield from _static()

    def _front(self) -> Iterator[tuple[str, bytes]]:
        shared, about = self.shared, self.shared.about
        card = front_card(
            shared.overview,
            run=about.run,
            facts=about.facts,
            words=len(shared.uses.texts),
            pairs=shared.pairs.cards,
            claims=claims_of(self.run, shared.sources.claims),
            meanings=meanings_of(self.run, shared.sources.texts, shared.overview),
            against=about.against,
            caveat=about.caveat,
        )
        yield shared.rendered(card)
        if plane := map_card(self.run, shared.sources.directions, shared.overview):
            yield shared.rendered(plane)
            yield chunks.map_points(plane)

    def _layers(self) -> Iterator[tuple[str, bytes]]:
        overview = self.shared.overview
        cards = LayerCards(self.run, overview, self.shared.sources.predictions)
        for layer in overview.layers:
            card = cards.card(layer)
            yield self.shared.rendered(card)
            yield chunks.layer_rows(card)
            yield from chunks.neuron_words(
                layer,
                [(row.neuron[1], overview.spoken(overview.row(row.neuron))) for row in card.rows],
            )

    def _pairs(self) -> Iterator[tuple[str, bytes]]:
        for card in self.shared.pairs.cards:
            yield self.shared.rendered(card)
            keys = [painted.picture.key for painted in card.gallery]
            maps = maps_of(self.run, self.shared.sources.painted_class_maps, keys)
            for painted in card.gallery:
                seen, heats = maps.get(painted.picture.key, ("", []))
                name = f"First order, of {card.c2} less {card.c1}"
                shown = (*heats, *([(name, painted.heat)] if painted.heat else []))
                picture = PictureCard(
                    painted.picture,
                    heats=shown,
                    heats_of=seen,
                    classes=len(self.shared.classes) if heats else 0,
                    painted=painted,
                )
                yield self.shared.rendered(picture)

    def _searched(self) -> Iterator[tuple[str, bytes]]:
        uses, overview = self.shared.uses, self.shared.overview
        words = (
            Entry.word(
                text, int(uses.counts[number]), [key for key, _ in uses.neurons(number, _FEW)]
            )
            for number, text in enumerate(uses.texts)
        )
        pairs = (Entry.pair(card.pair, len(card.gallery)) for card in self.shared.pairs.cards)
        yield from index([*words, *pairs], [overview.at(row) for row in range(len(overview))])


def _static() -> Iterator[tuple[str, bytes]]:
    """Style and script, as the package has them."""
    folder = package_files("clipneuron").joinpath(f"atlas/{_STATIC}")
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        yield f"{_STATIC}/{item.name}", item.read_bytes()
