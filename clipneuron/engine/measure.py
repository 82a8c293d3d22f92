"""What a stage takes and leaves, measured on a few shards in this process: the ground of an estimate."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipneuron.engine.stage import Shard, Stage
from clipneuron.store.store import Failure, Run


@dataclass(frozen=True)
class Measured:
    """One shard's cost."""

    rows: int
    load: float
    """Seconds of reading and decoding."""
    process: float
    """Seconds of the work itself."""
    sizes: Mapping[str, int]
    """Bytes of its tables as they are stored."""
    failures: tuple[Failure, ...] = ()
    """What failed in this shard and in those that warmed up."""


def measure(stage: Stage, run: Run, shards: Sequence[Shard]) -> Measured:
    """The cost of the last of these shards, after the others have warmed everything up; all are committed.

    Building the worker is left out. Raises whatever the stage raises.
    """
    loader, worker = stage.loader(run), stage.build(stage.share(run))
    failures: list[Failure] = []
    for shard in shards:
        started = time.perf_counter()
        loaded = loader.load(shard)
        between = time.perf_counter()
        output = worker.process(loaded, lambda rows: None)
        ended = time.perf_counter()
        failures += output.failures
        commit = run.commit(stage.name, shard.name, output.tables, failures=output.failures)
    sizes = {stored.table: stored.size for stored in commit.objects}
    return Measured(shard.rows, between - started, ended - between, sizes, tuple(failures))
