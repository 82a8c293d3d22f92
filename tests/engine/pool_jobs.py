"""A job on one pool, which notes where and when its shards are done: `python -m tests.engine.pool_jobs`."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import ray
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.connection import connected
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Resources
from clipneuron.store.store import Store
from tests.faults.hooks import HookedStage
from tests.faults.light import Light


@dataclass(frozen=True)
class Where:
    """Every shard leaves a file with its node and time; none goes on before the other job has begun."""

    folder: Path
    other: Path

    def __call__(self, step: str, shard: str) -> None:
        if step == "process":
            node = ray.get_runtime_context().get_node_id()
            (self.folder.parent / "began").touch()
            deadline = time.monotonic() + 90
            while not (self.other / "began").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.1)
            noted = {"node": node, "time": time.time()}
            (self.folder / f"{shard}.json").write_text(json.dumps(noted))


def work(address: str, place: Path, pool: str, other: Path) -> None:
    """The job, on the cluster at this address or the one that this process is connected to."""
    (place / "where").mkdir(parents=True)
    options, console = ClusterOptions(address=address, actors=1, actor_cpus=1), Console(quiet=True)
    with connected(options, pools=("clip", "gen")):
        run = Store(place / "store").open_run("light", {})
        stage = HookedStage(Light(resources=Resources(pool=pool)), Where(place / "where", other))
        Runner(RayData(options, console), console=console).run_stage(stage, run)


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
