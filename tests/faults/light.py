"""A stage whose processes start in a second: no model, and nothing that imports one."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console

from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Advance, Output, Resources, Shard
from clipneuron.store.store import Run, Store
from clipneuron.tables import registry as tables


@dataclass(frozen=True)
class Light:
    """Some shards of three rows each, on actors of the pool clip or as tasks."""

    count: int = 16
    resources: Resources = Resources(pool="clip")

    kind = name = "light"
    reads = ()
    writes = ("text_embeddings",)
    unit = "texts"
    decodes = True

    def shards(self, run: Run) -> Sequence[Shard]:
        return [Shard(f"{number:04d}", 3, number) for number in range(self.count)]

    def loader(self, run: Run) -> "Light":
        return self

    def load(self, shard: Shard) -> int:
        return int(shard.payload)

    def share(self, run: Run) -> float:
        return 0.5

    def build(self, shared: float) -> "LightWorker":
        return LightWorker(shared)


@dataclass(frozen=True)
class LightWorker:
    shared: float

    def process(self, loaded: Any, advance: Advance) -> Output:
        places = range(3 * loaded, 3 * loaded + 3)
        columns = {
            "text_index": list(places),
            "text": [f"text {place}" for place in places],
            "note": [None] * 3,
            "embedding": [[self.shared * place] for place in places],
        }
        advance(3)
        return Output({"text_embeddings": pa.table(columns, tables.schema("text_embeddings"))})


def light_run(folder: Path, stage: Light) -> Run:
    """The stage done in this process, undisturbed."""
    run = Store(folder).open_run("light", {})
    Runner(console=Console(file=io.StringIO())).run_stage(stage, run)
    return run
