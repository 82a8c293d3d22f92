"""A cluster without space for the work is refused in words, before anything starts: Ray itself would wait for ever."""

from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from clipneuron.cli import main
from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.placement import placement
from clipneuron.engine.stage import Resources

CLIP = Resources(pool="clip")
Nodes = list[dict[str, float]]


@pytest.mark.parametrize(
    ("nodes", "options", "says"),
    [
        ([{"CPU": 2}], {"actors": 2, "actor_cpus": 1}, "leave no core"),
        ([{"CPU": 2}], {"actors": 1, "actor_cpus": 2}, "leave no core"),
        ([{"CPU": 1}], {}, "leave no core"),
        ([{"CPU": 1.5}], {"actors": 1, "actor_cpus": 1}, "leave no core"),
        ([{"CPU": 2}], {"actors": 3, "actor_cpus": 1}, "space for 2 of 3"),
        ([{"CPU": 4}, {"CPU": 4}], {"actors": 1, "actor_cpus": 5}, "space for 0 of 1"),
        ([{"CPU": 8, "GPU": 1}], {"actors": 2}, "space for 1 of 2"),
        ([{"CPU": 8}], {"actors": 1, "actor_gpus": 1}, "space for 0 of 1"),
        ([{"CPU": 8}, {"CPU": 1, "clip": 1}], {"actors": 2, "actor_cpus": 1}, "space for 1 of 2"),
        ([{"CPU": 1, "clip": 1}, {"CPU": 0.5}], {"actors": 1, "actor_cpus": 1}, "leave no core"),
        ([], {}, "space for 0 of 1"),
    ],
)
def test_too_little_room_is_refused_in_words(
    nodes: Nodes, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        placement(CLIP, ClusterOptions(**options), nodes)
    assert "`cluster.actors`" in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "options", "actors", "cpus", "gpus"),
    [
        ([{"CPU": 2}], {}, 1, 1, 0),
        ([{"CPU": 2}], {"actors": 2, "actor_cpus": 0.5}, 2, 0.5, 0),
        ([{"CPU": 3}], {"actors": 2, "actor_cpus": 1}, 2, 1, 0),
        ([{"CPU": 2}, {"CPU": 2}], {"actors": 3, "actor_cpus": 1}, 3, 1, 0),
        ([{"CPU": 1}, {"CPU": 8, "clip": 8}], {"actors": 8, "actor_cpus": 1}, 8, 1, 0),
        ([{"CPU": 16, "GPU": 2}], {}, 2, 1, 1),
        ([{"CPU": 16, "GPU": 2}], {"actor_gpus": 0.5}, 4, 1, 0.5),
    ],
)
def test_what_fits_is_placed(
    nodes: Nodes, options: dict[str, Any], actors: int, cpus: float, gpus: float
) -> None:
    found = placement(CLIP, ClusterOptions(**options), nodes)
    assert (found.actors, found.cpus, found.gpus) == (actors, cpus, gpus)


@pytest.mark.parametrize("cores", [2, 3, 4, 8, 9, 16, 64])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_defaults_fit_on_every_cluster_with_two_cores(cores: int, count: int) -> None:
    nodes: Nodes = [{"CPU": float(cores), "clip": float(cores)} for _ in range(count)]
    found = placement(CLIP, ClusterOptions(), nodes)
    assert found.actors * found.cpus <= cores * count - 1


@pytest.mark.slow
def test_a_real_cluster_without_room_is_refused_and_not_waited_for(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--recipe", "demo", "--limit", "4", "--top", "2", "--layers", "4"]
    words += ["--actors", "3", "--actor-cpus", "1", "--store", str(tmp_path)]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "space for 2 of 3 actors of 1 cores and 0 GPUs, 1 'clip'" in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("demo-*/commits/calibrate"))
