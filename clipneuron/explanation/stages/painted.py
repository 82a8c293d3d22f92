"""painted-words: the leading words of some neurons as a text-to-image model paints them (CoSy)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.models.painting.painter import Order, Painted, Painter
from clipneuron.readers.explanation import leading_words, sampled
from clipneuron.readers.paintings import paintings, png_with, status_of
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import seed_of

GROUP = 10
"""Orders that the painter is given at once."""


@dataclass(frozen=True, kw_only=True)
class PaintedWordsStage(Stage):
    """Paints, layer by layer, every word that some describer puts first for one of the neurons drawn, several times."""

    painter: Callable[[], Painter]
    painter_name: str
    describers: Mapping[str, Upstream]
    layers: tuple[int, ...]
    neurons: int
    """Of a layer."""
    drawn: int
    """Neurons of a layer whose words are painted, at most."""
    each: int
    caption: str
    """With {} in place of the word."""
    seed: int
    resources: Resources = Resources(pool="gen")

    kind = "painted-words"
    writes = ("painted_words",)
    unit = "pictures"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The words of all describers."""
        return (*self.describers.values(),)

    @property
    def identity(self) -> Mapping[str, object]:
        """Who paints what, how many pictures of each word, and the dice."""
        return {
            "painter": self.painter_name,
            "caption": self.caption,
            "each": self.each,
            "drawn": self.drawn,
            "seed": self.seed,
            "layers": self.layers,
        }

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per layer, of as many pictures as there are where all words differ."""
        most = min(self.drawn, self.neurons) * len(self.describers) * self.each
        return [Shard(f"layer-{layer:02d}", most, layer) for layer in self.layers]

    def loader(self, run: Run) -> "LeadingWords":
        """Reads words."""
        return LeadingWords(self, run)

    def share(self, run: Run) -> None:
        """Nothing but the painter, which the stage brings along."""

    def build(self, shared: None) -> "PaintedWordsWorker":
        """A worker with the painter."""
        return PaintedWordsWorker(self)


@dataclass(frozen=True)
class LeadingWords:
    """Reads which words are to be painted."""

    stage: PaintedWordsStage
    run: Run

    def load(self, shard: Shard) -> tuple[Shard, list[str]]:
        """The distinct leading words of the neurons drawn, in the order of the alphabet."""
        stage = self.stage
        neurons = sampled(stage.neurons, stage.drawn, stage.seed, shard.payload)
        found = {
            text
            for describer in stage.describers.values()
            for text in leading_words(self.run, describer.name, shard.payload, neurons)
            if text is not None
        }
        return shard, sorted(found)


class PaintedWordsWorker:
    """Paints the words of one layer after another."""

    def __init__(self, stage: PaintedWordsStage) -> None:
        self.stage, self.painter = stage, stage.painter()

    def process(self, loaded: tuple[Shard, list[str]], advance: Advance) -> Output:
        """The table `painted_words`; what could not be painted is a failure too."""
        shard, words = loaded
        wanted = [(word, copy) for word in words for copy in range(self.stage.each)]
        rows: list[dict[str, Any]] = []
        for start in range(0, len(wanted), GROUP):
            some = wanted[start : start + GROUP]
            orders = [self._order(*each) for each in some]
            painted = paintings(self.painter, orders)
            rows += [
                self._row(shard.payload, *each, order, one)
                for each, order, one in zip(some, orders, painted, strict=True)
            ]
            advance(len(some))
        advance(shard.rows - len(rows))
        failed = [
            Failure(f"{row['text']} #{row['copy']}", row["status"], row["reason"])
            for row in rows
            if row["status"] != "ok"
        ]
        table = pa.Table.from_pylist(rows, schema=tables.schema("painted_words"))
        return Output({"painted_words": table}, failed)

    def _order(self, word: str, copy: int) -> Order:
        return Order(self.stage.caption.replace("{}", word), seed_of(word, copy, self.stage.seed))

    def _row(
        self, layer: int, word: str, copy: int, order: Order, painted: Painted
    ) -> dict[str, Any]:
        status, reason = status_of(painted)
        texts = {"Description": order.caption, "Painter": self.painter.name}
        return {
            "layer": layer,
            "text": word,
            "copy": copy,
            "caption": order.caption,
            "seed": order.seed,
            "painter": self.painter.name,
            "image": None if painted.pixels is None else png_with(painted.pixels, texts),
            "status": status,
            "reason": reason or None,
        }
