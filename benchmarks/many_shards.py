"""A plan of 100,000 shards with a simulated model: shards per second, and whether the driver's memory stays flat.

    python benchmarks/many_shards.py                              # 100,000 shards in this process
    python benchmarks/many_shards.py --engine ray --shards 20000  # on a cluster that is started here

Only pictures and model are simulated: a listing of four names a shard is planned, cut, announced, worked on and
committed by the product's code to a local store, a table of norms with 16 neurons each. With `--engine ray` every
shard passes a decoding task, a process with a model, and a committing task. Rates and the driver's processor time are
those since the line before: on a busy machine the latter says what a quiet one would do. Memory is the driver's
resident set when so many shards have ended; it includes the plan and all shards, which the driver holds from the
beginning. At the end the same stage is run again, which must do no work, and the run's status is looked at.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psutil
import pyarrow as pa
from listing import opened
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.attempts import Ending, Executor
from clipneuron.engine.cluster.connection import connected
from clipneuron.engine.in_process import InProcess
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage
from clipneuron.engine.status import status_of
from clipneuron.readers.pictures import PictureFeed
from clipneuron.store.store import Run, Store
from clipneuron.sweep.stages.plan import PlanStage
from clipneuron.tables import registry as tables

Result = TypeVar("Result")

PER_SHARD, NEURONS = 4, 16
MARKS = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)
OPTIONS = ClusterOptions(actors=1, actor_cpus=1)


@dataclass(frozen=True)
class SimulatedSweep:
    """The shards of the plan, without pictures and model."""

    feed: PictureFeed

    kind = name = "effects"
    reads: tuple[str, ...] = ("plan",)
    writes = ("norms",)
    unit = "images"
    resources = Resources(pool="clip")

    def shards(self, run: Run) -> Sequence[Shard]:
        """As a sweep has them."""
        return self.feed.shards(run, parts=1)

    def loader(self, run: Run) -> "SimulatedLoader":
        """Reads nothing."""
        return SimulatedLoader()

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "SimulatedWorker":
        """Knows nothing."""
        return SimulatedWorker()


@dataclass(frozen=True)
class SimulatedLoader:
    """In place of decoding."""

    decodes = True

    def load(self, shard: Shard) -> pa.Table:
        """The shard's rows of the plan."""
        return shard.payload


@dataclass(frozen=True)
class SimulatedWorker:
    """In place of a model."""

    def process(self, loaded: pa.Table, advance: Advance) -> Output:
        """Norms that are the numbers of their pictures."""
        norms = [[float(index)] * NEURONS for index in loaded["index"].to_pylist()]
        columns = {
            "index": loaded["index"],
            "image": loaded["image"],
            "label": loaded["label"],
            "status": ["ok"] * len(norms),
            "reason": [None] * len(norms),
            "note": [None] * len(norms),
            "layer_0": norms,
        }
        advance(len(norms))
        schema = tables.schema("norms", layers=[0], neurons=NEURONS)
        return Output({"norms": pa.table(columns, schema)})


@dataclass(frozen=True)
class Measured:
    """An executor whose endings are counted: at each mark a line with time, rate since the last mark, and memory."""

    executor: Executor

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        """Those of the executor."""
        counts = {max(1, round(mark * len(todo))) for mark in MARKS}
        begun, cpu, last = time.monotonic(), time.process_time(), (0, 0.0, 0.0)
        for number, ending in enumerate(self.executor.execute(stage, run, todo, advance), 1):
            yield ending
            if number in counts:
                now = number, time.monotonic() - begun, time.process_time() - cpu
                rate = (now[0] - last[0]) / (now[1] - last[1])
                each = 1000 * (now[2] - last[2]) / (now[0] - last[0])
                line = f"{now[0]:9,} {now[1]:9.1f} {rate:9.0f} {each:13.2f} {resident():11.0f}"
                print(line, flush=True)
                last = now


def resident() -> float:
    """MiB that this process has in memory."""
    return float(psutil.Process(os.getpid()).memory_info().rss / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--engine", choices=("in-process", "ray"), default="in-process")
    parser.add_argument("--folder", help="where the store is made (default: the temporary folder)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        run = Store(folder).open_run("many", {"shards": asked.shards})
        if asked.engine == "ray":
            with connected(OPTIONS, ("clip",)):
                measure(asked.shards, run, RayData(OPTIONS, Console(quiet=True)))
        else:
            measure(asked.shards, run, InProcess())


def measure(shards: int, run: Run, executor: Executor) -> None:
    """The plan, the stage, the stage again, and a look."""
    quiet = Console(quiet=True)
    print(f"{resident():.0f} MiB before the listing", flush=True)
    collection = opened("simulated", shards * PER_SHARD, "")
    plan = PlanStage(collection, PER_SHARD)
    timed("plan", lambda: Runner(console=quiet).run_stage(plan, run))
    stage = SimulatedSweep(PictureFeed(collection.reader, None))  # type: ignore[arg-type]
    measured = Measured(executor)
    runner = Runner(measured, console=quiet)
    print(
        f"{'ended':>9} {'seconds':>9} {'shards/s':>9} {'CPU ms/shard':>13} {'driver MiB':>11}",
        flush=True,
    )
    report = timed("stage", lambda: runner.run_stage(stage, run))
    again = timed("again", lambda: runner.run_stage(stage, run))
    seen = timed("status", lambda: status_of(run))
    found = next(each for each in seen.stages if each.name == "effects")
    assert (report.done_now, again.done_now, found.done) == (shards, 0, shards)
    commits = len(list(run.objects.list("commits/effects/")))
    objects = len(list(run.objects.list("data/effects/")))
    print(f"{commits:,} commits, {objects:,} objects, {found.rows:,} rows; {resident():.0f} MiB")


def timed(what: str, work: Callable[[], Result]) -> Result:
    """The work's result; its time is printed."""
    began = time.monotonic()
    result = work()
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)
    return result


if __name__ == "__main__":
    main()
