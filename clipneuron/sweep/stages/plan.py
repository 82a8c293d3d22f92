"""plan: which pictures there are, and the shard that each belongs to; a part more each time a collection grows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from clipneuron.data.opening import Collection
from clipneuron.data.plans import due, plan
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.store.store import Run


@dataclass(frozen=True)
class PlanStage(Stage):
    """Cuts what is new in a collection into shards of `shard_size` pictures, without reading any of them.

    Its own shards are the parts of the plan. Whoever commits a part first decides what is in it; another
    driver that has listed the same growth finds it planned.
    """

    collection: Collection
    shard_size: int
    retry: frozenset[tuple[str, str]] = frozenset()
    """Pictures to plan again, each with the shard that it failed in, as `plans.to_retry` gives them."""
    kind: str = "plan"

    reads: tuple[Upstream, ...] = ()
    writes = ("plan",)
    unit = "images"
    resources = Resources(local=True)

    @property
    def identity(self) -> Mapping[str, object]:
        """Nothing for the sweep's plan, which grows with its collection; else the collection."""
        return {} if self.kind == "plan" else {"images": self.collection.digest}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The parts that are planned, and the next one if the collection has more than they.

        Raises ValueError when the collection has lost or changed pictures that are planned.
        """
        commits = run.committed(self.name)
        shards = [Shard(part, commit.stored("plan").rows) for part, commit in commits.items()]
        following = len(shards)
        count = self.part(_planned(run, self.name, following)).num_rows
        return [*shards, Shard(_name(following), count)] if count else shards

    def part(self, planned: pa.Table | None) -> pa.Table:
        """What the plan lacks; all of it, where nothing is planned."""
        again = frozenset[str]() if planned is None else due(planned, self.retry)
        return plan(self.collection, self.shard_size, planned, again)

    def loader(self, run: Run) -> "PlanLoader":
        """Reads the parts before a part."""
        return PlanLoader(run, self.name)

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "PlanStage":
        """The stage is its own worker: it holds nothing heavy."""
        return self

    def process(self, loaded: pa.Table | None, advance: Advance) -> Output:
        """The table `plan` of one part, after the parts before it."""
        table = self.part(loaded)
        advance(table.num_rows)
        return Output({"plan": table})


@dataclass(frozen=True)
class PlanLoader:
    """Reads what is planned."""

    run: Run
    stage: str

    def load(self, shard: Shard) -> pa.Table | None:
        """The parts before this one, None before the first."""
        return _planned(self.run, self.stage, int(shard.name.removeprefix("part-")))


def _planned(run: Run, stage: str, parts: int) -> pa.Table | None:
    if not parts:
        return None
    return run.read(stage, "plan", shards=[_name(part) for part in range(parts)])


def _name(part: int) -> str:
    return f"part-{part:04d}"
