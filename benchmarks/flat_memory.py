"""Memory of the driver and of the largest worker as a sweep grows, with a simulated forward pass.

    python benchmarks/flat_memory.py                       # 1,000, 10,000 and 100,000 pictures
    python benchmarks/flat_memory.py --pictures 1000 5000

Everything but the model is real: shards of 256 pictures as uint8 pixels [256, 3, 224, 224] travel through Ray Data,
and a table of norms (one layer of 3,072 neurons) comes out and is committed to a local store. Memory is what each
process has for itself (unique set size), sampled every half second; it excludes the cluster's shared object store.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import pyarrow as pa
import torch
from machine import describe
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.connection import connected
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Advance, Output, Resources, Shard
from clipneuron.readers.arrow import fixed_list_column, table_of
from clipneuron.store.store import Run, Store
from clipneuron.tables import registry as tables

PER_SHARD, NEURONS = 256, 3072
OPTIONS = ClusterOptions(actors=1, actor_cpus=1)


@dataclass(frozen=True)
class SimulatedSweep:
    """A sweep without a model: loads blank pixels, reads one of them, writes random norms."""

    pictures: int

    name = "effects"
    reads: tuple[str, ...] = ()
    writes = ("norms",)
    unit = "images"
    resources = Resources(pool="clip")
    decodes = True

    def shards(self, run: Run) -> Sequence[Shard]:
        """One per 256 pictures."""
        count = -(-self.pictures // PER_SHARD)
        return [Shard(f"{number:08d}", PER_SHARD, number) for number in range(count)]

    def loader(self, run: Run) -> "SimulatedSweep":
        """The stage itself."""
        return self

    def load(self, shard: Shard) -> tuple[int, torch.Tensor]:
        """Blank pixels."""
        return shard.payload, torch.zeros(PER_SHARD, 3, 224, 224, dtype=torch.uint8)

    def share(self, run: Run) -> None:
        """Nothing."""
        return

    def build(self, shared: None) -> "SimulatedSweep":
        """The stage itself."""
        return self

    def process(self, loaded: tuple[int, torch.Tensor], advance: Advance) -> Output:
        """Random norms."""
        number, pixels = loaded
        norms = torch.rand(PER_SHARD, NEURONS) + pixels[0, 0, 0, 0]
        names = [f"{number}-{row}.jpg" for row in range(PER_SHARD)]
        columns = {
            "index": pa.array(range(number * PER_SHARD, (number + 1) * PER_SHARD), pa.int64()),
            "image": pa.array(names),
            "label": pa.nulls(PER_SHARD, pa.int32()),
            "status": pa.array(["ok"] * PER_SHARD),
            "reason": pa.nulls(PER_SHARD, pa.string()),
            "layer_9": fixed_list_column(norms, torch.ones(PER_SHARD, dtype=torch.bool)),
        }
        schema = tables.schema("norms", layers=[9], neurons=NEURONS)
        return Output({"norms": table_of(columns, schema)})


class Watch:
    """Peak memory of the driver and of its largest descendant, each for itself, in MiB."""

    def __init__(self) -> None:
        self.driver = self.worker = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        here = psutil.Process(os.getpid())
        while not self._over.wait(0.5):
            self.driver = max(self.driver, own(here))
            workers = [p for p in here.children(recursive=True) if name(p).startswith("ray::")]
            self.worker = max([self.worker, *map(own, workers)])


def own(process: psutil.Process) -> float:
    """MiB of a process, 0 if it is gone."""
    try:
        return float(process.memory_full_info().uss / 2**20)
    except psutil.Error:
        return 0.0


def name(process: psutil.Process) -> str:
    """The name of a process, "" if it is gone."""
    try:
        return str((process.cmdline() or [""])[0])
    except psutil.Error:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 10_000, 100_000])
    arguments = parser.parse_args()
    print(describe())
    print(f"{'pictures':>9} {'shards':>7} {'seconds':>8} {'driver MiB':>11} {'worker MiB':>11}")
    for pictures in arguments.pictures:
        stage = SimulatedSweep(pictures)
        with tempfile.TemporaryDirectory() as folder, connected(OPTIONS, ("clip",)):
            run = Store(folder).open_run("flat", {"pictures": pictures})
            console = Console(file=sys.stderr)
            start = time.monotonic()
            with Watch() as watch:
                report = Runner(RayData(OPTIONS, console), console=console).run_stage(stage, run)
            seconds = time.monotonic() - start
        print(
            f"{pictures:9,} {report.shards:7,} {seconds:8.1f} {watch.driver:11,.0f} {watch.worker:11,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
