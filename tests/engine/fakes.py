"""A stage without a model, whose shards fail as often as they are told to; and the digests of any run's tables."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from clipneuron.engine.stage import Output, Resources, Shard
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables


def rows_of(text: str) -> pa.Table:
    """Two rows of the table `text_embeddings`."""
    columns = {
        "text_index": [0, 1],
        "text": [text] * 2,
        "note": [None] * 2,
        "embedding": [[0.0]] * 2,
    }
    return pa.table(columns, schema=tables.schema("text_embeddings"))


def tables_of(run: Run) -> dict[str, dict[str, str]]:
    """The digest of every committed object, by stage and table: equal tables give equal bytes."""
    return {
        stage: {
            f"{shard}/{stored.table}": stored.sha256
            for shard, commit in run.committed(stage).items()
            for stored in commit.objects
        }
        for stage in run.stages()
    }


@dataclass
class Fake:
    """Three shards of two texts each; `breaks` says how often a shard fails before it works."""

    breaks: dict[str, int] = field(default_factory=dict)
    bad_rows: int = 0
    loads_break: bool = False
    name: str = "fake"
    log: list[str] = field(default_factory=list)
    resources: Resources = Resources()

    reads = ()
    writes = ("text_embeddings",)
    unit = "texts"

    def shards(self, run):
        return [Shard(name, 2, name) for name in ("a", "b", "c")]

    def loader(self, run):
        return self

    def share(self, run):
        return "shared"

    def build(self, shared):
        assert shared == "shared"
        self.log.append("build")
        return self

    def load(self, shard):
        if self.loads_break and self._breaks(shard.name):
            raise OSError("cannot read")
        return shard.payload

    def process(self, loaded, advance):
        self.log.append(loaded)
        if not self.loads_break and self._breaks(loaded):
            raise ValueError(f"{loaded} is broken")
        advance(2)
        failures = tuple(Failure(loaded, "unreadable", "no reason") for _ in range(self.bad_rows))
        return Output({"text_embeddings": rows_of(loaded)}, failures)

    def _breaks(self, name):
        self.breaks[name] = self.breaks.get(name, 0) - 1
        return self.breaks[name] >= 0


@dataclass
class SeeingFake(Fake):
    """Its texts say which GPUs its process sees."""

    def process(self, loaded, advance):
        advance(2)
        return Output({"text_embeddings": rows_of(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))})


@dataclass
class DeadlyFake(Fake):
    """Shard b ends its process, each time with a file in `folder`."""

    folder: Path = Path()

    def process(self, loaded, advance):
        if loaded == "b":
            (self.folder / f"died-{time.time_ns()}").touch()
            os._exit(1)
        return super().process(loaded, advance)
