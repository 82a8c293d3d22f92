"""Writers and painters are killed in the middle of a batch: nothing is lost, doubled or paid for twice."""

from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.faults.mortals import MortalPainter, MortalWriter
from tests.faults.worlds import check_same, on_cluster
from tests.samples.attack_world import captions_stage, pictures_stage, run_with_words
from tests.samples.world import quiet_runner

pytestmark = [pytest.mark.environment, pytest.mark.slow, pytest.mark.timeout(240)]


def test_killed_makers_lose_nothing_and_nothing_is_paid_twice(
    cluster: Cluster, tmp_path: Path
) -> None:
    undisturbed = run_with_words(tmp_path / "undisturbed")
    quiet_runner().run([captions_stage(), pictures_stage()], undisturbed)
    writers, painters = tmp_path / "writers", tmp_path / "painters"
    writers.mkdir()
    painters.mkdir()
    run = run_with_words(tmp_path / "killed")
    stages = [
        captions_stage(captioner=MortalWriter(writers), group=1),
        pictures_stage(painter=MortalPainter(painters), group=2),
    ]
    on_cluster(actors=1).run(stages, run)
    assert (writers / "died").exists()
    assert (painters / "died").exists()
    check_same(run, undisturbed)
