"""Cards into pages: HTML that needs no server, no script and no other host, and does not obey what data says."""

from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import (
    Card,
    FrontCard,
    LayerCard,
    MapCard,
    NeuronCard,
    PairCard,
    PictureCard,
    WordCard,
)
from clipneuron.atlas.html import wording
from clipneuron.atlas.html.charts import bars, curves, heads, heat, histograms, points
from clipneuron.atlas.html.links import Links, Outward, Site
from clipneuron.reports import markup
from clipneuron.reports.quantities import counted

TEMPLATES = "atlas/templates/"
SHOWN_ROWS = 100
"""Neurons in the table of a layer's page; the script loads the others, and a list names them all."""


def largest(values: Iterable[float]) -> float:
    """The largest absolute value, 0 of none: the full length of the bars of a list."""
    return max(map(abs, values), default=0.0)


def signed(values: Iterable[float]) -> bool:
    """Whether the bars of a list need room on both sides of the middle."""
    return any(value < 0 for value in values)


_CHARTS = SimpleNamespace(
    bar=bars.bar,
    ruler=bars.ruler,
    histogram=histograms.histogram,
    distribution=histograms.distribution,
    scree=histograms.scree,
    heads=heads.heads,
    heat=heat.heat_data,
    ablations=curves.ablations,
    neurons=points.neurons,
    hue=points.hue,
    steps=len(points.STEPS),
    largest=largest,
    signed=signed,
)


def page(card: Card, site: Site) -> str:
    """The page of a card as HTML, to be written at `address(card)`; the same text for the same card and site."""
    return _PAGES[type(card)](card, site)


def address(card: Card) -> str:
    """Where the page of a card is in its site."""
    match card:
        case NeuronCard():
            return addresses.neuron(card.layer, card.neuron)
        case LayerCard():
            return addresses.layer(card.layer)
        case WordCard():
            return addresses.word(card.word)
        case PairCard():
            return addresses.pair(card.pair)
        case PictureCard():
            return addresses.picture(card.picture.key)
        case MapCard():
            return addresses.MAP
        case FrontCard():
            return addresses.FRONT


def filled(template: str, at: Links, site: Site, **values: Any) -> str:
    """A template of the atlas with what all of them use."""
    return markup.page(
        TEMPLATES + template,
        at=at,
        site=site,
        say=wording,
        chart=_CHARTS,
        addresses=addresses,
        counted=counted,
        **values,
    )


@cache
def style() -> str:
    """The style sheet of all pages."""
    return files("clipneuron").joinpath("atlas/static/atlas.css").read_text(encoding="utf-8")


def neuron_page(card: NeuronCard, site: Site) -> str:
    """The page of a neuron; split where the same neuron of another run is beside it."""
    return _page("neuron", card, site, here=card.layer)


def layer_page(card: LayerCard, site: Site) -> str:
    """The page of a layer."""
    return _page("layer", card, site, here=card.layer, shown_rows=SHOWN_ROWS)


def word_page(card: WordCard, site: Site) -> str:
    """The page of a word."""
    return _page("word", card, site)


def pair_page(card: PairCard, site: Site) -> str:
    """The page of a pair of classes."""
    return _page("pair", card, site)


def picture_page(card: PictureCard, site: Site) -> str:
    """The page of a picture."""
    return _page("picture", card, site)


def map_page(card: MapCard, site: Site) -> str:
    """The map of all neurons."""
    return _page("map", card, site, scores=points.scores(card.points))


def front_page(card: FrontCard, site: Site) -> str:
    """The front page."""
    return _page("front", card, site)


_PAGES: dict[type, Callable[[Any, Site], str]] = {
    NeuronCard: neuron_page,
    LayerCard: layer_page,
    WordCard: word_page,
    PairCard: pair_page,
    PictureCard: picture_page,
    MapCard: map_page,
    FrontCard: front_page,
}


def _page(kind: str, card: Card, site: Site, here: int | None = None, **values: Any) -> str:
    at = Outward(address(card), site)
    return filled(f"{kind}.html.jinja", at, site, card=card, kind=kind, here=here, **values)
