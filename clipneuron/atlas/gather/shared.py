"""What all pages are made with: read once per run, as arrays, of which a cluster keeps one copy per node."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import Card, NeuronCard
from clipneuron.atlas.finding.words import Uses
from clipneuron.atlas.gather.neurons import NeuronCards, NeuronRows
from clipneuron.atlas.gather.overview import Overview, overview_of, pictures_also_in
from clipneuron.atlas.gather.pairs import PairCards
from clipneuron.atlas.gather.sources import Compared, Sources
from clipneuron.atlas.html.links import Site
from clipneuron.atlas.html.pages import address, page
from clipneuron.readers.evidence import classifier_of
from clipneuron.store.run import Run
from clipneuron.tables.registry import schema

_USES = ("layer", "neuron", "text", "weight")
_NOTHING = schema("neuron_words").empty_table().select(_USES)


@dataclass(frozen=True)
class About:
    """What a site says of its run on every page, and on the first one."""

    run: str
    title: str
    footer: str
    heads: int
    """Attention heads of a layer."""
    facts: tuple[tuple[str, str], ...] = ()
    caveat: str = ""
    against: str = ""
    """The run that this one is compared with."""


@dataclass(frozen=True)
class Shared:
    """Everything that is short, and what is needed to make cards."""

    about: About
    sources: Sources
    overview: Overview
    uses: Uses
    """Of all pools together."""
    pools: Mapping[str, tuple[str, ...]]
    """Names of the pools that have each word, where they are not all."""
    pairs: PairCards
    classes: tuple[str, ...]
    classifier: NDArray[np.float32]
    other: NeuronCards | None = None
    """Makes the cards of the run that this one is compared with."""

    @classmethod
    def of(
        cls, run: Run, sources: Sources, about: About, against: Compared | None = None
    ) -> "Shared":
        """Read from a run; raises StoreError."""
        tables = [
            run.read(pool.descriptions, "neuron_words", columns=[*_USES]) for pool in sources.pools
        ]
        classes: tuple[str, ...] = ()
        matrix = np.zeros((0, 0), np.float32)
        if sources.classifier:
            found = classifier_of(run, sources.classifier)
            classes, matrix = found.names, found.matrix
        overview = overview_of(run, sources, against.changes if against else None)
        return cls(
            about=about,
            sources=sources,
            overview=overview,
            uses=Uses.of(pa.concat_tables([_NOTHING, *tables])),
            pools=_pools(sources, tables),
            pairs=PairCards.of(run, sources.attack, sources.painted),
            classes=classes,
            classifier=matrix,
            other=_beside(run, against, overview) if against else None,
        )

    @cached_property
    def site(self) -> Site:
        """What the pages share."""
        return Site(
            run=self.about.run,
            title=self.about.title,
            layers=self.overview.layers,
            map=not self.overview.silent.all(),
            footer=self.about.footer,
            against=self.about.against,
            holds=self._holds,
        )

    @cached_property
    def neurons(self) -> NeuronCards:
        """Makes the cards of neurons."""
        return NeuronCards(
            self.sources,
            self.overview,
            self.classes,
            self.classifier,
            self.about.heads,
            self.pairs.attacks,
        )

    def card(self, rows: NeuronRows, beside: NeuronRows | None = None) -> NeuronCard:
        """The card of a neuron, with that of the same neuron of another run where there is one."""
        card = self.neurons.card(rows)
        if beside is None or self.other is None:
            return card
        return replace(card, against=self.other.card(beside))

    def rendered(self, card: Card) -> tuple[str, bytes]:
        """Address and content of a card's page."""
        return address(card), page(card, self.site).encode(errors="xmlcharrefreplace")

    @cached_property
    def _some(self) -> frozenset[str]:
        """Addresses of the pages that a link may not find."""
        words = map(addresses.word, self.uses.texts)
        pairs = (addresses.pair(card.pair) for card in self.pairs.cards)
        painted = (item.picture.key for card in self.pairs.cards for item in card.gallery)
        own = map(str, self.overview.pictures.index.tolist())
        pictures = map(addresses.picture, (*own, *painted))
        return frozenset((*words, *pairs, *pictures))

    def _holds(self, to: str) -> bool:
        kind = to.partition("/")[0]
        if kind == "map":
            return not self.overview.silent.all()
        return kind not in ("word", "pair", "picture") or to in self._some


def _pools(sources: Sources, tables: list[pa.Table]) -> dict[str, tuple[str, ...]]:
    if len(tables) < 2:
        return {}
    own = [{*table["text"].to_pylist()} for table in tables]
    names = [pool.name for pool in sources.pools]
    return {
        text: tuple(name for name, texts in zip(names, own, strict=True) if text in texts)
        for text in set().union(*own)
    }


def _beside(run: Run, against: Compared, overview: Overview) -> NeuronCards:
    """Makes cards of the other run's neurons, with those of its pictures that this site has."""
    own = overview_of(against.run, against.sources)
    pictures = pictures_also_in(run, overview.pictures, against.run)
    nothing = np.zeros((0, 0), np.float32)
    return NeuronCards(against.sources, replace(own, pictures=pictures), (), nothing, 1)
