"""Pictures made of pictures: the contact sheet of top images per neuron (Fig. 5's layout)."""

from collections.abc import Callable, Sequence

from PIL import Image

from clipneuron.reports.drawing import RED, Lost, Row, contact_sheet
from clipneuron.store.errors import UNREACHABLE, ReadError, StoreError
from clipneuron.sweep.neurons import NeuronCard

_LINE = 38
"""Characters of a text that fit into the margin."""


def neurons_sheet(
    cards: Sequence[NeuronCard], read: Callable[[int], bytes], title: str, pictures: int = 10
) -> Image.Image:
    """One row per neuron: its number, words and figures at the left, its top pictures at the right.

    A red frame marks pictures whose effect points against the neuron's direction, hence against its words' signs.
    `read` gives a picture's bytes by its number in the plan; one that it can't give (ReadError, StoreError) is a grey
    tile with the reason. ValueError when there is nothing to show.
    """
    if not cards:
        raise ValueError("a contact sheet needs at least one neuron")
    legend = "red frame: the effect points the other way, against the words' signs"
    source = _Source(read)
    rows = [_row(card, source, pictures) for card in cards]
    return contact_sheet(rows, f"{title}   ({legend})", pictures)


class _Source:
    """Pictures, or why they can't be had; a place that is in trouble is not asked once more for each of them."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._trouble: Lost | None = None

    def picture(self, number: int) -> bytes | Lost:
        if self._trouble:
            return self._trouble
        try:
            return self._read(number)
        except ReadError as error:
            lost = Lost(error.reason)
            if error.status == UNREACHABLE:
                self._trouble = lost
            return lost
        except StoreError as error:
            self._trouble = Lost(str(error))
            return self._trouble


def _row(card: NeuronCard, source: _Source, pictures: int) -> Row:
    shown = zip(card.top_images[:pictures], card.top_projections, strict=False)
    explained = card.explained if card.note else f"{card.explained_variance:.0%}"
    return Row(
        f"layer {card.layer}, neuron #{card.neuron}",
        f"PC 1 explains {explained}, effective share {card.participation:.1%}",
        [_line(text, weight) for text, weight in card.words[:4]],
        [(source.picture(image), RED if projection < 0 else None) for image, projection in shown],
    )


def _line(text: str, weight: float) -> str:
    line = f"{'+' if weight >= 0 else '-'}{text}"
    return line if len(line) <= _LINE else f"{line[: _LINE - 3].rstrip()}..."
