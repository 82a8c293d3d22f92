"""A small cluster for the tests of this folder: a head without models and a node with two."""

from collections.abc import Iterator

import pytest
import ray
from ray.cluster_utils import Cluster


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """The cluster, to which this process is connected."""
    with pytest.MonkeyPatch.context() as patch:
        # Else ray.init would join a cluster of somebody else's.
        patch.delenv("RAY_ADDRESS", raising=False)
        started = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        try:
            started.add_node(num_cpus=3, resources={"clip": 2.0})
            ray.init(address=started.address, log_to_driver=False)
            yield started
        finally:
            ray.shutdown()
            started.shutdown()
