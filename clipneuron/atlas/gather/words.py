"""The cards of words: which neurons use them, and which other words these use."""

from clipneuron.atlas.cards import Shown, WordCard
from clipneuron.atlas.finding.words import Uses
from clipneuron.atlas.gather.overview import Overview

NEURONS = 120
"""Neurons of a word that its page shows."""
COMPANIONS = 24
PICTURES = 12


def word_card(
    uses: Uses, overview: Overview, number: int, pools: tuple[str, ...], shown: tuple[Shown, ...]
) -> WordCard:
    """The card of a word by its number in `uses`; `shown` are pictures whose concepts name it."""
    text = uses.texts[number]
    own = uses.neurons(number, NEURONS)
    return WordCard(
        word=text,
        pools=pools,
        neurons=tuple((overview.card(overview.row(key)), weight) for key, weight in own),
        count=int(uses.counts[number]),
        shares=tuple(uses.companions(number, COMPANIONS)),
        pictures=shown[:PICTURES],
    )
