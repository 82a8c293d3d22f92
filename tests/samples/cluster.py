"""The one Ray cluster of a test run, with a job server where it is needed: a head without models, a node with two."""

import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray._private.utils import get_ray_address_file, write_ray_address
from ray.cluster_utils import Cluster
from ray.job_submission import JobSubmissionClient

from tests.faults.hooks import wait_for


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster, to which this process is connected from here on."""
    items = request.session.items
    # Sockets have short names, so this is no place for pytest's long ones.
    folder = tempfile.mkdtemp(prefix="cn-", dir="/tmp")
    head = {
        "num_cpus": 1,
        "include_dashboard": any(
            "job_server" in getattr(item, "fixturenames", ()) for item in items
        ),
        "include_log_monitor": False,
        "dashboard_port": free_port(),
    }
    head |= {"dashboard_agent_listen_port": free_port(), "temp_dir": folder}
    # Ray notes the address in its usual folder as well, which it does not make, since this cluster has another.
    Path(get_ray_address_file(None)).parent.mkdir(parents=True, exist_ok=True)
    started = Cluster(initialize_head=True, head_node_args=head)
    # Jobs look there for their own cluster; without it they take any that is on the machine, as other tests start some.
    write_ray_address(started.address, folder)
    try:
        started.add_node(num_cpus=3, resources={"clip": 2.0})
        ray.init(address=started.address, log_to_driver=False)
        yield started
    finally:
        ray.shutdown()
        started.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def job_server(cluster: Cluster) -> str:
    """The address of the cluster's job server."""
    address = f"http://{cluster.webui_url}"
    wait_for(lambda: _answers(f"{address}/api/jobs/"), "the job server", 120)
    return address


@pytest.fixture(scope="session")
def jobs(job_server: str) -> JobSubmissionClient:
    """The job server's client."""
    return JobSubmissionClient(job_server)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port: int = opened.getsockname()[1]
    return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
