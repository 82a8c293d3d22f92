"""Pictures made of pictures: the contact sheet of top images per neuron (Fig. 5's layout)."""

from collections.abc import Callable, Sequence

from PIL import Image

from clipneuron.reports.drawing import RED, Row, contact_sheet
from clipneuron.sweep.neurons import NeuronCard

_LINE = 38
"""Characters of a text that fit into the margin."""


def neurons_sheet(
    cards: Sequence[NeuronCard], read: Callable[[int], bytes], title: str, pictures: int = 10
) -> Image.Image:
    """One row per neuron: its number, words and figures at the left, its top pictures at the right.

    A red frame marks pictures whose effect points against the neuron's direction, hence against its words' signs.
    `read` gives a picture's bytes by its number in the plan. ValueError when there is nothing to show.
    """
    if not cards:
        raise ValueError("a contact sheet needs at least one neuron")
    legend = "red frame: the effect points the other way, against the words' signs"
    return contact_sheet(
        [_row(card, read, pictures) for card in cards], f"{title}   ({legend})", pictures
    )


def _row(card: NeuronCard, read: Callable[[int], bytes], pictures: int) -> Row:
    shown = zip(card.top_images[:pictures], card.top_projections, strict=False)
    explained = card.explained if card.note else f"{card.explained_variance:.0%}"
    return Row(
        f"layer {card.layer}, neuron #{card.neuron}",
        f"PC 1 explains {explained}, effective share {card.participation:.1%}",
        [_line(text, weight) for text, weight in card.words[:4]],
        [(read(image), RED if projection < 0 else None) for image, projection in shown],
    )


def _line(text: str, weight: float) -> str:
    line = f"{'+' if weight >= 0 else '-'}{text}"
    return line if len(line) <= _LINE else f"{line[: _LINE - 3].rstrip()}..."
