"""plan: which pictures there are, and the shard that each belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass

from clipneuron.stage import Advance, Output, Resources, Shard
from clipneuron.storage.images import Collection
from clipneuron.storage.plans import plan
from clipneuron.storage.store import Run


@dataclass(frozen=True)
class PlanStage:
    """Cuts a collection into shards of `shard_size` pictures, without reading any of them."""

    collection: Collection
    shard_size: int
    retry: frozenset[str] = frozenset()

    name = "plan"
    reads: tuple[str, ...] = ()
    writes = ("plan",)
    unit = "images"
    resources = Resources(local=True)

    def shards(self, run: Run) -> Sequence[Shard]:
        """One shard: the whole listing."""
        return [Shard("part-0000", len(self.collection.pictures))]

    def loader(self, run: Run) -> "PlanStage":
        """The stage is its own loader and worker: it holds nothing heavy."""
        return self

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "PlanStage":
        """The stage itself."""
        return self

    def load(self, shard: Shard) -> Shard:
        """Nothing to read: the collection is listed already."""
        return shard

    def process(self, loaded: Shard, advance: Advance) -> Output:
        """The table `plan`."""
        table = plan(self.collection, self.shard_size)
        advance(loaded.rows)
        return Output({"plan": table})
