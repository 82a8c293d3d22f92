"""pictures: what a text-to-image model paints of the chosen captions (Sec. 5.1), each with its history inside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.models.painting.painter import Order, Painted, Painter
from clipneuron.readers.paintings import paintings, png_with, status_of
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import METHODS, Experiment, Pair, experiments, pair_key, seed_of
from clipneuron.version import __version__

PainterLoader = Callable[[], Painter]

PURPOSE = "made by clipneuron to find weaknesses of a model"
"""What every picture says of itself."""


@dataclass(frozen=True, kw_only=True)
class PicturesStage(Stage):
    """Paints the chosen captions of one experiment per shard, each several times."""

    painter: PainterLoader
    pairs: tuple[Pair, ...]
    methods: tuple[str, ...] = METHODS
    repeats: int = 3
    captions: Upstream
    """The stage whose captions are painted."""
    chosen: int = 10
    """Captions of an experiment; there may be fewer."""
    each: int = 10
    """Pictures of each caption."""
    group: int = 10
    """Orders that the painter is given at once."""
    seed: int = 0
    painter_name: str = ""
    """The painter's, which says what it paints with."""
    resources: Resources = Resources(pool="gen")

    kind = "pictures"
    writes = ("pictures",)
    unit = "pictures"

    def __post_init__(self) -> None:
        if min(self.chosen, self.each, self.group) < 1:
            raise ValueError(
                "expected at least one caption, one picture of each and one order at once, got "
                f"{self.chosen}, {self.each} and {self.group}"
            )

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The captions."""
        return (self.captions,)

    @property
    def identity(self) -> Mapping[str, object]:
        """Who paints, how many pictures of each caption, and from which seed."""
        return {"painter": self.painter_name, "each": self.each, "seed": self.seed}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per experiment, of as many pictures as are wanted."""
        rows = self.chosen * self.each
        found = experiments(self.pairs, self.methods, self.repeats)
        return [Shard(one.key, rows, one) for one in found]

    def loader(self, run: Run) -> "ChosenCaptions":
        """Reads captions."""
        return ChosenCaptions(self, run)

    def share(self, run: Run) -> None:
        """Nothing but the painter, which the stage brings along."""

    def build(self, shared: None) -> "PicturesWorker":
        """A worker with the painter."""
        return PicturesWorker(self)


@dataclass(frozen=True)
class Wanted:
    """A picture that is to be painted."""

    experiment: Experiment
    number: int
    """Of its caption."""
    copy: int
    """Of the pictures of that caption."""
    caption: str
    words: tuple[str, ...]
    captioner: str
    seed: int

    @property
    def picture(self) -> str:
        """Its id."""
        return self.experiment.picture(self.number, self.copy)


@dataclass(frozen=True)
class ChosenCaptions:
    """Reads which pictures of an experiment are wanted."""

    stage: PicturesStage
    run: Run

    def load(self, shard: Shard) -> list[Wanted]:
        """The pictures, caption after caption."""
        one: Experiment = shard.payload
        chosen = [*one.filters, ("chosen", "==", True)]
        source = [pair_key(one.pair)]
        rows = self.run.read(self.stage.captions.name, "captions", shards=source, filters=chosen)
        captions = rows.sort_by("number").slice(0, self.stage.chosen).to_pylist()
        copies = range(self.stage.each)
        return [self._wanted(one, caption, copy) for caption in captions for copy in copies]

    def _wanted(self, one: Experiment, row: dict[str, Any], copy: int) -> Wanted:
        number, words = row["number"], tuple(row["words"])
        seed = seed_of(one.picture(number, copy), self.stage.seed)
        return Wanted(one, number, copy, row["caption"], words, row["captioner"], seed)


class PicturesWorker:
    """Paints one experiment after another."""

    def __init__(self, stage: PicturesStage) -> None:
        self.stage, self.painter = stage, stage.painter()

    def process(self, loaded: list[Wanted], advance: Advance) -> Output:
        """The table `pictures`; those that could not be painted are failures too."""
        rows: list[dict[str, Any]] = []
        for start in range(0, len(loaded), self.stage.group):
            wanted = loaded[start : start + self.stage.group]
            orders = [Order(each.caption, each.seed) for each in wanted]
            rows += map(self._row, wanted, paintings(self.painter, orders))
            advance(len(wanted))
        advance(self.stage.chosen * self.stage.each - len(rows))
        failed = [
            Failure(row["picture"], row["status"], row["reason"])
            for row in rows
            if row["status"] != "ok"
        ]
        table = pa.Table.from_pylist(rows, schema=tables.schema("pictures"))
        return Output({"pictures": table}, failed)

    def _row(self, wanted: Wanted, painted: Painted) -> dict[str, Any]:
        status, reason = status_of(painted)
        pixels = painted.pixels
        image = None if pixels is None else png_with(pixels, self._history(wanted))
        return {
            "picture": wanted.picture,
            **wanted.experiment.columns,
            "number": wanted.number,
            "caption": wanted.caption,
            "seed": wanted.seed,
            "painter": self.painter.name,
            "image": image,
            "unsafe": painted.unsafe,
            "watermarked": painted.watermarked,
            "status": status,
            "reason": reason or None,
        }

    def _history(self, wanted: Wanted) -> dict[str, str]:
        """What the file says of itself, under names of the PNG standard where it has one."""
        return {
            "Title": wanted.picture,
            "Description": wanted.caption,
            "Words": "; ".join(wanted.words),
            "Captioner": wanted.captioner,
            "Painter": self.painter.name,
            "Seed": str(wanted.seed),
            "Software": f"clipneuron {__version__}",
            "Comment": PURPOSE,
        }
