"""A slow stage without a model, driven from any host.

python -m tests.faults.hosts.driver ADDRESS FOLDER SHARDS SECONDS
"""

import sys
from pathlib import Path

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.connection import connected
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.reports.consoles import Console
from clipneuron.store.store import Store
from tests.faults.hooks import HookedStage, Slow, hooked
from tests.faults.light import Light


def work(address: str, folder: Path, shards: int, seconds: float) -> None:
    """The stage on the cluster at this address, with two processes, each step of a shard taking so long."""
    options = ClusterOptions(address=address, actors=2, actor_cpus=1)
    console = Console(file=sys.stderr)
    with connected(options, pools=("clip",)):
        run, slow = Store(folder / "store").open_run("light", {}), Slow(folder / "steps", seconds)
        stage = HookedStage(Light(shards), slow)
        Runner(RayData(options, console), console=console).run_stage(stage, hooked(run, slow))


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
