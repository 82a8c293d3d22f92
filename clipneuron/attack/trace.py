"""The history of an adversarial picture: its caption, the words in it, the neurons that gave them, their pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from clipneuron.attack.pipeline import AttackLine
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import NeuronCard, neuron_cards
from clipneuron.tables.experiments import experiments

STRONGEST = 3
"""Neurons that are shown of each word."""


@dataclass(frozen=True)
class Followed:
    """A picture and where it comes from; rows as the tables have them."""

    picture: Mapping[str, Any]
    verdict: Mapping[str, Any]
    caption: Mapping[str, Any]
    words: tuple[Mapping[str, Any], ...]
    neurons: tuple[Mapping[str, Any], ...]
    cards: Mapping[tuple[int, int], NeuronCard]
    """Of second-order neurons, by layer and neuron."""

    @property
    def image(self) -> bytes | None:
        """The PNG, None if nothing could be painted."""
        image: bytes | None = self.picture["image"]
        return image

    def tables(self) -> list[Table]:
        """The history for a terminal, from the picture back."""
        return [self._picture(), self._words(), self._neurons()]

    def _picture(self) -> Table:
        table = _table(f"Picture {self.picture['picture']}", "what", "")
        for name in ("caption", "seed", "painter", "status", "reason"):
            table.add_row(name, str(self.picture[name] or "-"))
        verdict = self.verdict
        if verdict.get("margin") is not None:
            said = f"margin {verdict['margin']:+.4f}, taken for {verdict['prediction']}"
            table.add_row("verdict", f"{'fooled' if verdict['fooled'] else 'not fooled'}: {said}")
        table.add_row("captioner", f"{self.caption['captioner']}, seed {self.caption['seed']}")
        table.add_row("prompt", f"sha256 {self.caption['prompt']}")
        return table

    def _words(self) -> Table:
        table = _table("Words in the caption", "word", "score", "rank", "similar to c2")
        for row in self.words:
            figures = f"{row['score']:+.4f}", f"{row['rank']}", f"{row['similarity']:.2f}"
            table.add_row(row["text"], *figures)
        return table

    def _neurons(self) -> Table:
        headings = (
            "word",
            "neuron",
            "gave",
            "weight",
            "along c2 - c1",
            "top words",
            "top pictures",
        )
        table = _table("Neurons that gave them", *headings)
        for row in self.neurons:
            card = self.cards.get((row["layer"], row["neuron"]))
            table.add_row(
                row["text"],
                f"{row['layer']}:{row['neuron']}",
                *(f"{row[name]:+.4f}" for name in ("contribution", "weight", "projection")),
                card.signed_words if card else "-",
                ", ".join(map(str, card.top_images[:5])) if card else "-",
            )
        return table


def followed(line: AttackLine, run: Run, picture: str) -> Followed:
    """The history of a picture of a finished line; ValueError for one that is not in it."""
    asked = line.asked
    found = experiments(line.pairs, asked.methods, asked.repeats)
    one = next(
        (one for one in found if picture.startswith(one.picture(0, 0).removesuffix("0-0"))), None
    )
    if one is None:
        raise ValueError(
            f"{picture!r} is no picture of this attack: expected PAIR/METHOD/REPEAT/CAPTION-COPY such as "
            f"{found[0].picture(0, 0)}"
        )
    own, pair = (
        [("picture", "==", picture)],
        [one.key.removesuffix(f"-{one.method}-{one.repeat:02d}")],
    )
    pictures = run.read(
        line.pictures(run).name, "pictures", shards=[one.key], filters=own
    ).to_pylist()
    if not pictures:
        raise ValueError(_absent(picture, run, line.pictures(run).name, one.key))
    verdicts = run.read(
        line.verdicts(run).name, "verdicts", shards=[one.key], filters=own
    ).to_pylist()
    number = [*one.filters, ("number", "==", pictures[0]["number"])]
    (caption,) = run.read(
        line.captions(run).name, "captions", shards=pair, filters=number
    ).to_pylist()
    words = line.words(run).name
    used = [*one.filters, ("text", "in", caption["words"])]
    cues = run.read(words, "words", shards=pair, filters=used).to_pylist()
    given = run.read(words, "word_neurons", shards=pair, filters=used).to_pylist()
    neurons = tuple(row for cue in cues for row in _strongest(cue["text"], given))
    cards = _cards(line, run, neurons) if one.method in ("second-order", "random") else {}
    return Followed(
        pictures[0], verdicts[0] if verdicts else {}, caption, tuple(cues), neurons, cards
    )


def _absent(picture: str, run: Run, stage: str, shard: str) -> str:
    known = run.read(stage, "pictures", shards=[shard], columns=["picture"])["picture"].to_pylist()
    return f"there is no picture {picture!r} in {run.name}; there are {', '.join(known[:4])} and others"


def _strongest(text: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = [row for row in given if row["text"] == text]
    return sorted(own, key=lambda row: -row["contribution"])[:STRONGEST]


def _cards(
    line: AttackLine, run: Run, neurons: tuple[dict[str, Any], ...]
) -> dict[tuple[int, int], NeuronCard]:
    keys, cards = line.sweep.keys(run), {}
    for layer in sorted({row["layer"] for row in neurons}):
        numbers = sorted({row["neuron"] for row in neurons if row["layer"] == layer})
        for card in neuron_cards(run, keys, layer, numbers):
            cards[layer, card.neuron] = card
    return cards


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading)
    return table
