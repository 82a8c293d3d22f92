"""Two jobs on one cluster, each on the pool it asks for, at the same time: neither waits for the other."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from clipneuron.store.store import Store
from tests.engine.pool_jobs import work
from tests.faults.light import Light, light_run
from tests.faults.worlds import check_same

pytestmark = [pytest.mark.environment, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The id of each pool's node; that of the generating models is there for this test alone."""
    (clip,) = cluster.worker_nodes
    gen = cluster.add_node(num_cpus=1, resources={"gen": 1.0})
    try:
        yield {"clip": clip.node_id, "gen": gen.node_id}
    finally:
        cluster.remove_node(gen)


def test_both_pools_work_at_once_each_on_its_own_nodes(
    cluster: Cluster, nodes: dict[str, str], tmp_path: Path
) -> None:
    clip, gen = tmp_path / "clip", tmp_path / "gen"
    job = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.pool_jobs", cluster.address, gen, "gen", clip],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
    )
    work(cluster.address, clip, "clip", gen)
    assert job.wait(180) == 0, job.stderr.read().decode()[-2000:]
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
