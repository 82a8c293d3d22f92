"""What the atlas says in words: numbers with their signs, alternative texts of pictures, a neuron in a sentence."""

from collections.abc import Sequence
from math import floor, log10

from clipneuron.atlas.cards import Neuron, NeuronCard, Picture, Row, Word

_SPACE = "\u00a0"
_NAMED = 3
"""Words of a kind in a sentence."""


def figure(value: float | int | str | None) -> str:
    """A number with three figures, an integer whole, a text as it is, a dash for None.

    >>> figure(0.051234), figure(12), figure(1.2), figure(5000), figure(None), figure(-31234.5), figure(999.7)
    ('0.0512', '12', '1.20', '5,000', '–', '−31,234', '1,000')
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 999.5:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:#.3g}".rstrip(".").replace("-", "−")


def signed(value: float, largest: float = 1.0) -> str:
    """A number with its sign, with as many decimals as the largest of its list needs to be told apart.

    >>> signed(2.314, 3.1), signed(-0.08, 0.52), signed(0.0012, 0.034)
    ('+2.31', '−0.08', '+0.001')
    """
    power = floor(log10(largest)) if largest > 0 else 0
    digits = max(0, min(2, 2 - power) if power >= 0 else max(2, 1 - power))
    return f"{value:+z,.{digits}f}".replace("-", "−")


def share(value: float | None) -> str:
    """A share in per cent, a dash for None.

    >>> share(0.123), share(None), share(0.00004)
    ('12.3\xa0%', '–', '0.004\xa0%')
    """
    if value is None:
        return "–"
    shown = f"{value * 100:.1f}" if abs(value) >= 0.0005 or value == 0 else f"{value * 100:.1g}"
    return f"{shown}{_SPACE}%".replace("-", "−")


def decimals(value: float | None) -> str:
    """A number between -1 and 1 with two decimals, a dash for None.

    >>> decimals(-0.5), decimals(-0.001), decimals(None)
    ('−0.50', '0.00', '–')
    """
    return "–" if value is None else f"{value:z.2f}".replace("-", "−")


def quantile(value: float) -> str:
    """A quantile as people name it.

    >>> quantile(0.9), quantile(0.995), quantile(0.0)
    ('90\xa0%', '99.5\xa0%', '0\xa0%')
    """
    return f"{value * 100:.3g}{_SPACE}%"


def name(neuron: Neuron) -> str:
    """A neuron as people write it: layer:number."""
    return f"{neuron[0]}:{neuron[1]}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def picture(shown: Picture) -> str:
    """The alternative text of a picture: its class and what else is known to be on it, else its name."""
    words = list(dict.fromkeys(filter(None, [shown.label, *shown.says])))
    return f"picture of {listed(words)}" if words else f"picture {shown.name}"


def words_in_line(words: Sequence[Word], most: int = 6) -> str:
    """Words with the signs of their weights, as titles show them."""
    return ", ".join(("" if word.weight >= 0 else "−") + word.text for word in words[:most])


def title(card: NeuronCard) -> str:
    """A neuron's page in the list of a browser's tabs."""
    own = name((card.layer, card.neuron))
    words = words_in_line(card.pools[0].words, _NAMED) if card.pools else ""
    return f"{own} {words}" if words else f"Neuron {own}"


def lead(card: NeuronCard) -> str:
    """A neuron in a sentence or two: what it writes towards and against, and how much of it that covers."""
    if card.note:
        return f"This neuron has no direction of its own: {card.note}."
    sentences = filter(None, [_writes(card), _weighs(card)])
    return " ".join(sentences) or "This run says nothing of this neuron yet."


def _writes(card: NeuronCard) -> str:
    words = card.pools[0].words if card.pools else ()
    towards = [f"“{word.text}”" for word in words if word.weight >= 0][:_NAMED]
    against = [f"“{word.text}”" for word in words if word.weight < 0][:_NAMED]
    said = [
        f"towards {listed(towards)}" if towards else "",
        f"against {listed(against)}" if against else "",
    ]
    written = " and ".join(filter(None, said))
    return f"Writes {written}." if written else ""


def _weighs(card: NeuronCard) -> str:
    said = []
    if card.participation is not None:
        said.append(f"its effect is carried by {share(card.participation)} of the pictures")
    if card.explained_variance is not None:
        said.append(f"one direction explains {share(card.explained_variance)} of it")
    text = ", and ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def facts(card: NeuronCard) -> list[tuple[str, str, str]]:
    """A neuron's figures at a glance: name, value, and what it means."""
    found = [
        (
            "explained variance",
            card.explained_variance,
            share,
            "share of the variance of its top effects along its direction",
        ),
        (
            "effective share",
            card.participation,
            share,
            "share of the pictures that carry its effect",
        ),
        (
            "significant",
            card.share,
            share,
            "share of the pictures whose effect is as long as its threshold",
        ),
        (
            "threshold",
            card.histogram.threshold if card.histogram else None,
            figure,
            "least length of the effect among its top pictures",
        ),
    ]
    known = [(title, show(value), why) for title, value, show, why in found if value is not None]
    score = next((one.score for one in card.pools if one.score), None)
    if score:
        known.append(
            ("words’ score", decimals(score.value), f"{score.metric} on held-out pictures")
        )
    if card.heads:
        best = max(card.heads, key=lambda head: head.share)
        known.append(
            (
                "strongest head",
                f"layer {best.layer}, head {best.head}",
                f"{share(best.share)} of the effect",
            )
        )
    return known


def score_of(row: Row) -> str:
    """The score of a neuron in a list."""
    return decimals(row.score)


def value_of(row: Row) -> str:
    """What a list is sorted by."""
    return figure(row.value)


def change_of(row: Row) -> str:
    """The cosine to the same neuron of another run."""
    return decimals(row.change.cosine if row.change else None)
