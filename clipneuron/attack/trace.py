"""The history of an adversarial picture: its caption, the words in it, the neurons that gave them, their pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clipneuron.attack.counts import OURS, PAPERS
from clipneuron.attack.results import AttackResults
from clipneuron.reports.markup import terminal
from clipneuron.store.errors import StoreError
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import NeuronCard, neuron_cards, without_words
from clipneuron.sweep.results import SweepResults
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import METHODS, Experiment, pair_key

if TYPE_CHECKING:
    from rich.table import Table

_READ = [field.name for field in tables.schema("pictures") if field.name != "image"]
STRONGEST = 3
"""Neurons that are shown of each word."""


@dataclass(frozen=True)
class Traced:
    """A picture and where it comes from; rows as the tables have them."""

    picture: Mapping[str, Any]
    verdict: Mapping[str, Any]
    caption: Mapping[str, Any]
    words: tuple[Mapping[str, Any], ...]
    neurons: tuple[Mapping[str, Any], ...]
    cards: Mapping[tuple[int, int], NeuronCard]
    """Of second-order neurons, by layer and neuron."""
    silence: str = ""
    """Why these have no words."""

    @property
    def image(self) -> bytes | None:
        """The PNG, None if nothing could be painted."""
        image: bytes | None = self.picture["image"]
        return image

    def tables(self) -> "list[Table]":
        """The history for a terminal, from the picture back."""
        return [self._picture(), self._words(), self._neurons()]

    def _picture(self) -> "Table":
        names = ("caption", "seed", "painter", "status", "reason")
        rows = [(name, str(self.picture[name] or "-")) for name in names]
        verdict = self.verdict
        if verdict.get("margin") is not None:
            what = f"margin {verdict['margin']:+.4f}, taken for {verdict['prediction']}"
            rows.append(("verdict", f"{'fooled' if verdict['fooled'] else 'not fooled'}: {what}"))
        rows.append(("captioner", f"{self.caption['captioner']}, seed {self.caption['seed']}"))
        rows.append(("prompt", f"sha256 {self.caption['prompt']}"))
        return terminal(f"Picture {self.picture['picture']}", ("what", ""), rows)

    def _words(self) -> "Table":
        rows = (
            (row["text"], f"{row['score']:+.4f}", f"{row['rank']}", f"{row['similarity']:.2f}")
            for row in self.words
        )
        return terminal("Words in the caption", ("word", "score", "rank", "similar to c2"), rows)

    def _neurons(self) -> "Table":
        headings = (
            "word",
            "neuron",
            "gave",
            "weight",
            "along c2 - c1",
            "top words",
            "top pictures",
        )
        spare = ("along c2 - c1", "weight", "top pictures")
        rows = map(self._neuron, self.neurons)
        title = "Neurons that gave them"
        return terminal(title, headings, rows, spare=spare, caption=self.silence)

    def _neuron(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        card = self.cards.get((row["layer"], row["neuron"]))
        return (
            row["text"],
            f"{row['layer']}:{row['neuron']}",
            *(f"{row[name]:+.4f}" for name in ("contribution", "weight", "projection")),
            (card.signed_words if card else "") or "-",
            ", ".join(map(str, card.top_images[:5])) if card else "-",
        )


def traced(run: Run, picture: str) -> Traced:
    """The history of a picture of any of the run's attacks, the last one first; ValueError for one that is in none.

    Whatever pairs, methods and repeats the attacks were asked for last: what is committed is found.
    """
    attacks = run.results(AttackResults)
    for results in attacks:
        for one in _experiments(picture):
            if run.is_done(results.pictures, one.key):
                own = [("picture", "==", picture)]
                rows = run.read(
                    results.pictures, "pictures", shards=[one.key], columns=_READ, filters=own
                )
                if rows.num_rows:
                    row = rows.to_pylist()[0] | _image(run, results.pictures, one.key, picture)
                    return _history(run, results, one, row)
    raise ValueError(_absent(picture, run, attacks))


def _image(run: Run, stage: str, shard: str, picture: str) -> dict[str, Any]:
    """The picture's bytes; where they are damaged or out of reach, the reason in their place."""
    own = [("picture", "==", picture)]
    columns = ["picture", "image"]
    try:
        rows = run.read(stage, "pictures", shards=[shard], columns=columns, filters=own)
    except StoreError as error:
        return {"image": None, "reason": str(error)}
    return {"image": rows["image"][0].as_py()}


def _experiments(picture: str) -> Iterator[Experiment]:
    """Every experiment that a picture of this id can be of; a class may have colons in its name."""
    name, method, repeat, _ = [*picture.rsplit("/", 3), "", "", ""][:4]
    if method in METHODS and repeat.isdecimal():
        words = name.split(":")
        for place in range(1, len(words)):
            pair = ":".join(words[:place]), ":".join(words[place:])
            yield Experiment(pair, method, int(repeat))


def _history(
    run: Run, results: AttackResults, one: Experiment, picture: Mapping[str, Any]
) -> Traced:
    pair = [pair_key(one.pair)]
    own = [("picture", "==", picture["picture"])]
    verdicts = []
    if run.is_done(results.verdicts, one.key):
        verdicts = run.read(results.verdicts, "verdicts", shards=[one.key], filters=own).to_pylist()
    number = [*one.filters, ("number", "==", picture["number"])]
    (caption,) = run.read(results.captions, "captions", shards=pair, filters=number).to_pylist()
    used = [*one.filters, ("text", "in", caption["words"])]
    words = run.read(results.words, "words", shards=pair, filters=used).to_pylist()
    given = run.read(results.words, "word_neurons", shards=pair, filters=used).to_pylist()
    neurons = tuple(row for word in words for row in _strongest(word["text"], given))
    swept = one.method in (OURS, PAPERS, "random")
    silence = without_words(run, results.swept.descriptions) if swept else ""
    cards = _cards(run, results.swept, neurons) if swept else {}
    verdict = verdicts[0] if verdicts else {}
    return Traced(picture, verdict, caption, tuple(words), neurons, cards, silence)


def _absent(picture: str, run: Run, attacks: Sequence[AttackResults]) -> str:
    if not attacks:
        return f"run {run.name} has no attack: make one with `clipneuron attack`"
    for stage in (results.pictures for results in attacks):
        for shard in sorted(run.done(stage))[:1]:
            known = run.read(stage, "pictures", shards=[shard], columns=["picture"])
            shown = ", ".join(known["picture"].to_pylist()[:4])
            return (
                f"{picture!r} is no picture of the attacks of {run.name}; there are {shown} and others "
                "(PAIR/METHOD/REPEAT/CAPTION-COPY)"
            )
    return f"the attacks of {run.name} have no picture yet: the same `clipneuron attack` goes on with them"


def _strongest(text: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = [row for row in given if row["text"] == text]
    return sorted(own, key=lambda row: -row["contribution"])[:STRONGEST]


def _cards(
    run: Run, swept: SweepResults, neurons: tuple[dict[str, Any], ...]
) -> dict[tuple[int, int], NeuronCard]:
    cards = {}
    for layer in sorted({row["layer"] for row in neurons}):
        numbers = sorted({row["neuron"] for row in neurons if row["layer"] == layer})
        for card in neuron_cards(run, swept, layer, numbers):
            cards[layer, card.neuron] = card
    return cards
