"""Where the links and pictures of a page lead: into the site that it stands in, or nowhere but into itself."""

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from clipneuron.atlas import addresses
from clipneuron.atlas.cards import Neuron, Tile


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
    """What a template asks for; "" where there is no such page or picture."""

    def to(self, address: str) -> str:
        """The link to an address of the site."""

    def source(self, tile: Tile) -> str:
        """Where a picture's bytes are."""


class Outward:
    """Links from one page of a site."""

    def __init__(self, page: str, site: Site) -> None:
        self.page, self._site = page, site
        self.root = addresses.root(page)

    def to(self, address: str) -> str:
        """The relative link to an address that the site has."""
        return addresses.link(self.page, address) if self._site.holds(address) else ""

    def source(self, tile: Tile) -> str:
        """The relative link to a picture."""
        return addresses.link(self.page, tile.path)


class Inward:
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


def anchor(neuron: Neuron) -> str:
    """The id of a neuron's card."""
    return f"neuron-{neuron[0]}-{neuron[1]}"
