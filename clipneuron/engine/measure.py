"""What a stage takes and leaves, measured on a few shards in this process: the ground of an estimate."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipneuron.engine.stage import Shard, Stage
from clipneuron.store.store import Failure, Run
from clipneuron.store.traffic import NOTHING, Lap, Traffic


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
    loading: Traffic = NOTHING
    """What was asked for to read it."""
    rest: Traffic = NOTHING
    """What was asked for to process and commit it."""
    failures: tuple[Failure, ...] = ()
    """What failed in this shard and in those that warmed up."""


def measure(stage: Stage, run: Run, shards: Sequence[Shard]) -> Measured:
    """The cost of the last of these shards, after the others have warmed everything up; all are committed.

    Building the worker is left out. Raises whatever the stage raises.
    """
    loader, worker = stage.loader(run), stage.build(stage.share(run))
    failures: list[Failure] = []
    asked = Lap()
    for shard in shards:
        asked.drop()
        run.started(stage.name, shard.name)
        rest, started = asked.take(), time.perf_counter()
        loaded = loader.load(shard)
        between, loading = time.perf_counter(), asked.take()
        output = worker.process(loaded, lambda rows: None)
        ended = time.perf_counter()
        failures += output.failures
        commit = run.commit(stage.name, shard.name, output.tables, failures=output.failures)
    sizes, rest = {stored.table: stored.size for stored in commit.objects}, rest + asked.take()
    times = between - started, ended - between
    return Measured(shard.rows, *times, sizes, loading, rest, tuple(failures))
