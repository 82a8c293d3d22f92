"""Neurons' cards as one HTML file that opens by a double click: for a paper's supplement, for a notebook."""

import base64
import hashlib
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from clipneuron.atlas.cards import NeuronCard
from clipneuron.atlas.html import wording
from clipneuron.atlas.html.links import Inward, Site, anchor
from clipneuron.atlas.html.pages import filled, style
from clipneuron.reports.quantities import counted


def single(cards: Sequence[NeuronCard], site: Site, tiles: Mapping[str, bytes]) -> str:
    """The cards with style and pictures in the file itself; nothing else is asked for, and no script runs.

    tiles: WebP bytes by `Tile.path`. A picture that is not among them is said to be missing; words and neurons that are
    not in the file are text without a link. Raises ValueError where there is nothing to show.
    """
    if not cards:
        raise ValueError("a file of neurons needs at least one neuron")
    at = Inward([(card.layer, card.neuron) for card in cards], tiles)
    css = style()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    alone = wording.title(cards[0])
    heading = alone if len(cards) == 1 else counted(len(cards), "neurons")
    return filled(
        "single.html.jinja",
        at,
        site,
        shown=cards,
        style=Markup(css),
        digest=digest,
        heading=f"{heading} of {site.title or site.run}",
        anchor=anchor,
    )
