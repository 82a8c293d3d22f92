"""Two jobs on one cluster, each on the pool it asks for, at the same time: neither waits for the other."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from clipneuron.store.store import Store
from tests.faults.light import Light, light_run
from tests.faults.worlds import check_same

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

JOB = """
import json, sys, time
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

address, place, pool, other = sys.argv[1:]

class Where:
    '''Every shard leaves a file with its node and time; none goes on before the other job has begun.'''

    def __init__(self, folder, other):
        self.folder, self.other = folder, other

    def __call__(self, step, shard):
        if step == "process":
            node = ray.get_runtime_context().get_node_id()
            Path(self.folder).with_name("began").touch()
            deadline = time.monotonic() + 90
            while not Path(self.other, "began").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.1)
            said = {"node": node, "time": time.time()}
            (Path(self.folder) / f"{shard}.json").write_text(json.dumps(said))

folder = Path(place) / "where"
folder.mkdir(parents=True)
options, console = ClusterOptions(address=address, actors=1, actor_cpus=1), Console(quiet=True)
with connected(options, pools=("clip", "gen")):
    run = Store(Path(place) / "store").open_run("light", {})
    stage = HookedStage(Light(resources=Resources(pool=pool)), Where(str(folder), other))
    Runner(RayData(options, console), console=console).run_stage(stage, run)
"""


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The id of each pool's node; that of the generating models is there for this test alone."""
    (clip,) = cluster.worker_nodes
    gen = cluster.add_node(num_cpus=2, resources={"gen": 1.0})
    try:
        yield {"clip": clip.node_id, "gen": gen.node_id}
    finally:
        cluster.remove_node(gen)


def test_both_pools_work_at_once_each_on_its_own_nodes(
    cluster: Cluster, nodes: dict[str, str], tmp_path: Path
) -> None:
    other = {"clip": "gen", "gen": "clip"}
    jobs = {
        pool: subprocess.Popen(
            [
                sys.executable,
                "-c",
                JOB,
                cluster.address,
                tmp_path / pool,
                pool,
                tmp_path / other[pool],
            ],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
        )
        for pool in nodes
    }
    for pool, job in jobs.items():
        assert job.wait(180) == 0, (pool, job.stderr.read().decode()[-2000:])
    times = {}
    for pool, node in nodes.items():
        said = [json.loads(path.read_text()) for path in (tmp_path / pool / "where").iterdir()]
        assert len(said) == Light().count
        assert {each["node"] for each in said} == {node}
        times[pool] = sorted(each["time"] for each in said)
        (run,) = Store(tmp_path / pool / "store").runs()
        check_same(run, light_run(tmp_path / pool / "undisturbed", Light()))
    assert times["clip"][0] < times["gen"][-1], "each should begin before the other has ended"
    assert times["gen"][0] < times["clip"][-1]
