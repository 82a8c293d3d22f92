"""Which metrics of a run Prometheus sees: runs a stage on a Ray of its own and prints what the node offers.

PYTHONPATH=. python benchmarks/scraped.py
"""

import io
import os
import tempfile
import time
import urllib.request

os.environ["RAY_AUTH_MODE"] = "disabled"

import ray
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from clipneuron.store.store import Store
from tests.faults.light import Light

OPTIONS = ClusterOptions(actors=1, actor_cpus=1)


def main() -> None:
    quiet = Console(file=io.StringIO())
    ray.init(address="local", num_cpus=3, resources={"clip": 2.0}, include_dashboard=False)
    with tempfile.TemporaryDirectory() as folder:
        run = Store(folder).open_run("demo", {"stage": "light"})
        Runner(RayData(OPTIONS, quiet), console=quiet).run_stage(Light(6), run)
        print("\n".join(scraped()))
    ray.shutdown()


def scraped() -> list[str]:
    """The lines of our metrics, once there are any, without the classes of histograms."""
    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    for _ in range(20):
        time.sleep(5)
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:  # the node's agent is still starting
            continue
        ours = [line for line in lines if "clipneuron" in line and "_bucket" not in line]
        if ours:
            return ours
    return ["none within 100 s"]


if __name__ == "__main__":
    main()
