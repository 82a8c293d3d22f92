"""screening: what another witness than the model sees in each picture: suggestions for the review, never decisions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clipneuron.attack.witness import Witness
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.models.painting.painter import Order
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import METHODS, Experiment, Pair, experiments


@dataclass(frozen=True, kw_only=True)
class ScreeningStage(Stage):
    """Asks a witness about the pictures of one experiment per shard."""

    witness: Callable[[], Witness]
    pairs: tuple[Pair, ...]
    methods: tuple[str, ...] = METHODS
    repeats: int = 3
    size: int = 100
    """Pictures of an experiment; there may be fewer."""
    pictures: Upstream
    witness_name: str = ""
    """The witness's, which says what it judges by."""
    resources: Resources = Resources()

    kind = "screening"
    writes = ("screening",)
    unit = "pictures"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures."""
        return (self.pictures,)

    @property
    def identity(self) -> Mapping[str, object]:
        """Who is asked."""
        return {"witness": self.witness_name}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per experiment."""
        found = experiments(self.pairs, self.methods, self.repeats)
        return [Shard(one.key, self.size, one) for one in found]

    def loader(self, run: Run) -> "ScreeningLoader":
        """Reads pictures."""
        return ScreeningLoader(self.pictures.name, run)

    def share(self, run: Run) -> None:
        """Nothing but the witness, which the stage brings along."""

    def build(self, shared: None) -> "ScreeningWorker":
        """A worker with the witness."""
        return ScreeningWorker(self)


@dataclass(frozen=True)
class ScreeningLoader:
    """Reads an experiment's pictures and what they were painted from."""

    pictures: str
    run: Run

    def load(self, shard: Shard) -> tuple[Experiment, list[dict[str, Any]]]:
        """The experiment and a row per picture."""
        columns = ["picture", "caption", "seed", "image", "status"]
        rows = self.run.read(self.pictures, "pictures", shards=[shard.name], columns=columns)
        return shard.payload, rows.to_pylist()


class ScreeningWorker:
    """Screens one experiment after another."""

    def __init__(self, stage: ScreeningStage) -> None:
        self.stage, self.witness = stage, stage.witness()

    def process(self, loaded: tuple[Experiment, list[dict[str, Any]]], advance: Advance) -> Output:
        """The table `screening`; of a picture that there is not, there are no suggestions."""
        one, pictures = loaded
        good = [row for row in pictures if row["status"] == "ok"]
        orders = [Order(row["caption"], row["seed"]) for row in good]
        seen = self.witness.shows(one.pair, orders, [row["image"] for row in good])
        seen_in = {row["picture"]: answer for row, answer in zip(good, seen, strict=True)}
        rows = []
        for row in pictures:
            shows_c1, shows_c2 = seen_in.get(row["picture"], (None, None))
            shown = {"shows_c1": shows_c1, "shows_c2": shows_c2, "by": self.witness.name}
            rows.append({"picture": row["picture"], **one.columns, **shown})
        advance(self.stage.size)
        table = pa.Table.from_pylist(rows, schema=tables.schema("screening"))
        return Output({"screening": table})
