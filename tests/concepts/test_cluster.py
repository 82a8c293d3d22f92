"""Concepts on a cluster are the same, byte for byte."""

import pytest

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import Runner
from tests.engine.fakes import tables_of
from tests.samples.conceived import concepts_of
from tests.samples.world import quiet_runner

pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.usefixtures("cluster")]


def test_concepts_on_a_cluster_have_the_same_bytes_as_in_this_process(tmp_path) -> None:
    line = concepts_of(tmp_path, "here")
    here, _ = line.run(quiet_runner())
    quiet = quiet_runner()
    there, _ = concepts_of(tmp_path, "there").run(
        Runner(
            RayData(ClusterOptions(actors=1, actor_cpus=1), quiet.console), console=quiet.console
        )
    )
    assert tables_of(there) == tables_of(here)
    assert there.verify() == []
