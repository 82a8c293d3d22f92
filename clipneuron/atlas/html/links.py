"""Where the links and pictures of a page lead: into the site that it stands in, or nowhere but into itself."""

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup, escape

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import Neuron, Tile
from clipneuron.reports.printing import visible


def everything(address: str) -> bool:
    """Whether a site that is complete has a page: it has."""
    return True


@dataclass(frozen=True)
class Site:
    """What the pages of a site share: their navigation and their foot.

    run: the run's name. title: model and data in a few words. footer: version and fingerprint, in a line.
    against: name of the run that this one is compared with, else empty.
    holds: whether the site has the page of an address; where not, its text stands there without a link.
    """

    run: str
    title: str = ""
    layers: tuple[int, ...] = ()
    map: bool = True
    footer: str = ""
    against: str = ""
    holds: Callable[[str], bool] = everything


class Links(Protocol):
    """What a template asks for."""

    root: str
    """The way from the page to the root of the site, with its slash."""

    def to(self, address: str) -> str:
        """The link to an address of the site, "" where there is no such page."""

    def source(self, tile: Tile) -> str:
        """Where a picture's bytes are, "" where they are not to be had."""

    def word(self, text: str) -> Markup:
        """A word, with a link to its page."""

    def neuron(self, which: Neuron) -> Markup:
        """A neuron's name, with a link to its page."""


class _Linked:
    """Names as links: a page has hundreds, so they are no business of a template."""

    def to(self, address: str) -> str:
        raise NotImplementedError

    def word(self, text: str) -> Markup:
        return _link(self.to(addresses.word(text)), text)

    def neuron(self, which: Neuron) -> Markup:
        return _link(self.to(addresses.neuron(*which)), f"{which[0]}:{which[1]}", "neuron")


class Outward(_Linked):
    """Links from one page of a site."""

    def __init__(self, page: str, site: Site) -> None:
        self._site = site
        self.root = addresses.root(page)

    def to(self, address: str) -> str:
        """The relative link to an address that the site has."""
        return self.root + address if self._site.holds(address) else ""

    def source(self, tile: Tile) -> str:
        """The relative link to a picture."""
        return self.root + tile.path


class Inward(_Linked):
    """Links of a page that stands alone: only to the neurons on it, and pictures as data."""

    root = ""

    def __init__(self, neurons: Collection[Neuron], tiles: Mapping[str, bytes]) -> None:
        self._anchors = {addresses.neuron(*n): f"#{anchor(n)}" for n in neurons}
        self._tiles = tiles

    def to(self, address: str) -> str:
        """The link within the page to a neuron that is on it."""
        return self._anchors.get(address, "")

    def source(self, tile: Tile) -> str:
        """A picture as an address that carries it; "" where its bytes are not there."""
        data = self._tiles.get(tile.path)
        return "" if data is None else f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def _link(href: str, text: str, kind: str = "") -> Markup:
    shown = escape(visible(text))
    named = f' class="{kind}"' if kind else ""
    if not href:
        return Markup(f"<span{named}>{shown}</span>") if kind else shown
    return Markup(f'<a href="{escape(href)}"{named}>{shown}</a>')


def anchor(neuron: Neuron) -> str:
    """The id of a neuron's card."""
    return f"neuron-{neuron[0]}-{neuron[1]}"
