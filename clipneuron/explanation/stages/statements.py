"""statements: which texts of the pool are true of held-out pictures, by a witness that needs no model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from clipneuron.data.collections import Picture, Pictures
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import table_of
from clipneuron.readers.pictures import PictureFeed
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

Tell = Callable[[Sequence[str], Sequence[Picture]], list[list[int]]]
"""Of texts and pictures: the places of the texts that are true of each picture, rising."""


@dataclass(frozen=True)
class StatementsStage(Stage):
    """Asks the witness about the pictures of one shard after another."""

    tell: Tell
    by: str
    """The witness's name for people."""
    knows: str
    """A digest of what the witness goes by, which is no part of the pictures."""
    texts: tuple[str, ...]
    texts_digest: str
    pictures: PictureFeed
    """Only its plan is read."""
    plan: Upstream
    resources: Resources = Resources()

    kind = "statements"
    writes = ("statements",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The held-out pictures."""
        return (self.plan,)

    @property
    def identity(self) -> Mapping[str, object]:
        """The witness and the texts."""
        return {"by": self.by, "knows": self.knows, "texts": self.texts_digest}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the held-out pictures."""
        return self.pictures.shards(run, parts=1)

    def loader(self, run: Run) -> "StatementsLoader":
        """Hands out rows of the plan."""
        return StatementsLoader()

    def share(self, run: Run) -> None:
        """Nothing but the witness, which the stage brings along."""

    def build(self, shared: None) -> "StatementsWorker":
        """A worker with the witness."""
        return StatementsWorker(self)


@dataclass(frozen=True)
class StatementsLoader:
    """The pictures of a shard."""

    def load(self, shard: Shard) -> tuple[Picture, ...]:
        """As the plan has them."""
        return tuple(Pictures(shard.payload))


@dataclass(frozen=True)
class StatementsWorker:
    """Writes down what is true."""

    stage: StatementsStage

    def process(self, loaded: tuple[Picture, ...], advance: Advance) -> Output:
        """The table `statements`."""
        found = self.stage.tell(self.stage.texts, loaded)
        advance(len(loaded))
        schema = tables.schema("statements")
        columns = {
            "index": pa.array([picture.index for picture in loaded], pa.int64()),
            "texts": pa.array(found, pa.list_(pa.int32())).cast(schema.field("texts").type),
            "by": pa.array([self.stage.by] * len(loaded), pa.string()),
        }
        return Output({"statements": table_of(columns, schema)})
