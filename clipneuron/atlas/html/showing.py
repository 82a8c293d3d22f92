"""A neuron's card in a notebook."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import escape

from clipneuron.atlas.cards import NeuronCard
from clipneuron.atlas.html import wording
from clipneuron.atlas.html.drawing import card_png
from clipneuron.atlas.html.links import Site
from clipneuron.atlas.html.single import single
from clipneuron.reports.printing import visible
from clipneuron.store.run import Run

_HEIGHT = 860
"""Pixels of a notebook's cell; what is longer scrolls."""


@dataclass(frozen=True, repr=False)
class NeuronView:
    """A neuron's card: a notebook shows it, `save` writes it.

    tiles: WebP bytes of its pictures by `Tile.path`.
    """

    card: NeuronCard
    site: Site
    tiles: Mapping[str, bytes]

    @property
    def html(self) -> str:
        """The card as one HTML file that needs nothing else."""
        return single([self.card], self.site, self.tiles)

    @property
    def png(self) -> bytes:
        """The card as a picture, 1000 pixels wide."""
        return card_png(self.card, self.site, self.tiles)

    def save(self, path: str | Path) -> Path:
        """Writes the card as `.html` or `.png`, by the name's ending; ValueError for any other, OSError."""
        path = Path(path)
        match path.suffix.lower():
            case ".html":
                path.write_text(self.html, encoding="utf-8", errors="xmlcharrefreplace")
            case ".png":
                path.write_bytes(self.png)
            case ending:
                raise ValueError(
                    f"a card is written as .html or .png, not as {ending or 'a file without an ending'!r}: {path}"
                )
        return path

    def __repr__(self) -> str:
        """The neuron in a sentence or two."""
        name = wording.name((self.card.layer, self.card.neuron))
        return visible(f"Neuron {name}. {wording.lead(self.card)}")

    def _repr_html_(self) -> str:
        """In a frame of its own, which runs no script and whose style stays inside."""
        title = f"Neuron {wording.name((self.card.layer, self.card.neuron))}"
        return (
            f'<iframe title="{title}" sandbox="" srcdoc="{escape(self.html)}" width="100%" height="{_HEIGHT}" '
            'frameborder="0"></iframe>'
        )


def show(run: Run, layer: int, neuron: int) -> NeuronView:
    """The card of a neuron of a finished run, as the atlas has it; a notebook shows it.

    Heat, heads and nearest neurons that the run does not hold yet are computed in this process and kept in the run.

        run = clipneuron.Store("store").find_run("demo")
        clipneuron.show(run, layer=4, neuron=39)

    Raises ValueError for a neuron that the run does not have, for a run that is not finished, and for a model or
    pictures that do not exist any more; StoreError.
    """
    from clipneuron.atlas.alone import cards_of  # brings the model's library

    (card,), site, tiles = cards_of(run, [(layer, neuron)])
    return NeuronView(card, site, tiles)
