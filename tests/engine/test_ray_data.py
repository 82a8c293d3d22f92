"""The cluster's engine does what the one of this process does, bit for bit, and loses no shard to a bad neighbour.

`make test` has a single sweep on a real cluster; `make check` also has processes that die, fail or are kept waiting.
"""

import gc
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine import dispatch
from clipneuron.engine.packing import Packer
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import RunIncompleteError, Runner
from clipneuron.engine.stage import Resources
from clipneuron.store.store import Store
from clipneuron.sweep.waves import waves
from tests.engine.fakes import DeadlyFake, Fake, SeeingFake, tables_of
from tests.faults.hooks import Imports
from tests.faults.light import Light, light_run
from tests.faults.worlds import carry_out, check_same
from tests.samples.world import clip, finished, quiet_runner, sweep_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]
OPTIONS = ClusterOptions(actors=1, actor_cpus=1)
KINDS = ("calibrate", "effects")
POOLS = {"actors": Resources(pool="clip", memory=0.05), "tasks": Resources()}


def runner(options: ClusterOptions = OPTIONS, **limits: object) -> Runner:
    quiet = Console(file=io.StringIO())
    return Runner(RayData(options, quiet), console=quiet, **limits)


def test_a_sweep_on_a_cluster_gives_the_same_bytes_as_one_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only processes with the model load torch, and they stay for the next stage, and for the next wave of shards."""
    in_waves = partial(waves, ends=(4, 8))
    monkeypatch.setattr("clipneuron.sweep.stages.effects.waves", in_waves)
    _, here = finished(tmp_path, "here")
    folder = tmp_path / "imports"
    folder.mkdir()
    imports = Imports(folder)
    by = runner()
    carry_out(sweep_of(tmp_path, "there"), by, imports, KINDS, others=by)
    assert imports.seen("load") == imports.seen("marker") == {"False"}
    assert imports.seen("process") == {"True"}
    assert len(imports.processes("build")) == 1, "one process should have built every worker"
    assert imports.processes("process") == imports.processes("build")
    assert not imports.processes("load") & imports.processes("process")
    there, again = sweep_of(tmp_path, "there").run(runner())
    assert [report.done_now for report in again] == [0] * len(again)
    assert tables_of(there) == tables_of(here)
    assert len(tables_of(there)) == 7
    assert there.verify() == []


def test_a_process_without_a_share_of_a_gpu_sees_none(tmp_path: Path) -> None:
    run = Store(tmp_path).open_run("fake", {})
    runner().run_stage(SeeingFake(), run)
    assert set(run.read("fake", "text_embeddings")["text"].to_pylist()) == {""}


def test_a_model_travels_once_and_is_one_in_a_process() -> None:
    packer, model = Packer(), clip()
    one, two = packer.pack((model, "first")), packer.pack({"second": model})
    assert one.large.keys() == two.large.keys()
    assert len(one.large) == 1
    sizes = [len(ray.get(packed.data)) for packed in (one, two)]
    assert max(sizes) < 1000, "the model should not be in what is packed"
    (first, _), second = one.unpack(), two.unpack()["second"]
    assert first is second
    assert first is not model
    assert first.digest == model.digest


@pytest.mark.environment
@pytest.mark.parametrize("pool", POOLS)
def test_a_shard_that_kills_its_process_is_set_aside_and_the_others_are_done(tmp_path, pool):
    run = Store(tmp_path / "store").open_run("fake", {})
    once_more = OPTIONS.model_copy(update={"retries": 1})
    stage = DeadlyFake(resources=POOLS[pool], folder=tmp_path)
    with pytest.raises(RunIncompleteError, match=r"fake: 1 shard could not be done \(b\)"):
        runner(once_more, attempts=2).run_stage(stage, run)
    assert list(run.committed("fake")) == ["a", "c"]
    failures = run.failures("fake")
    assert ["WorkerLostError" in failed.error for failed in failures["b"]] == [True, True]
    assert 2 <= len(list(tmp_path.glob("died-*"))) <= 4, "each of two attempts may be repeated once"
    # A neighbour on the same actor may be lost with it once; then each shard is alone on one.
    assert all(len(failed) == 1 for shard, failed in failures.items() if shard != "b")


@pytest.mark.environment
@pytest.mark.parametrize("pool", POOLS)
def test_a_shard_that_fails_is_a_record_with_its_traceback(tmp_path, pool):
    run = Store(tmp_path).open_run("fake", {})
    with pytest.raises(RunIncompleteError, match="ValueError: b is broken"):
        runner(attempts=2).run_stage(Fake(breaks={"b": 99}, resources=POOLS[pool]), run)
    assert list(run.committed("fake")) == ["a", "c"]
    assert "in process" in run.failures("fake")["b"][0].traceback


class Holder:
    """Somebody else's process."""

    def is_there(self) -> bool:
        return True


@pytest.fixture
def others() -> Iterator[None]:
    """A core of each of the cluster's two nodes is held by processes that are not ours."""
    gc.collect()  # with the executors of other tests their processes end, which hold cores
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]  # others have removed some
    nodes = [NodeAffinitySchedulingStrategy(node, soft=False) for node in alive]
    holder = ray.remote(Holder)
    held = [holder.options(num_cpus=1, scheduling_strategy=node).remote() for node in nodes]
    ray.get([each.is_there.remote() for each in held], timeout=60)
    yield
    for each in held:
        ray.kill(each)


@pytest.mark.environment
@pytest.mark.usefixtures("others")
def test_where_others_hold_all_other_cores_the_processes_give_way(tmp_path, monkeypatch, caplog):
    """Two models hold the last cores, and nothing would be decoded and committed for them."""
    monkeypatch.setattr(dispatch, "_LOOK", 0.5)
    run = Store(tmp_path).open_run("light", {})
    stage = Light(6, Resources(pool="clip"))
    runner(OPTIONS.model_copy(update={"actors": 2})).run_stage(stage, run)
    check_same(run, light_run(tmp_path / "alone", stage))
    assert "no core is free" in caplog.text


@pytest.mark.environment
def test_a_worker_that_cannot_be_built_ends_the_run_with_its_reason(tmp_path):
    class Unbuildable(Fake):
        def build(self, shared):
            raise ValueError("these weights do not fit")

    run = Store(tmp_path).open_run("fake", {})
    with pytest.raises(RuntimeError, match="these weights do not fit"):
        runner(attempts=2).run_stage(Unbuildable(resources=POOLS["actors"]), run)


@pytest.mark.environment
def test_what_another_driver_has_done_meanwhile_is_not_done_again(tmp_path):
    run = Store(tmp_path).open_run("fake", {})
    stage = Fake(resources=POOLS["tasks"])
    quiet_runner().run_stage(stage, run)
    before = tables_of(run)
    todo = stage.shards(run)
    endings = list(RayData(OPTIONS, Console(file=io.StringIO())).execute(stage, run, todo, print))
    assert sorted(ending.shard for ending in endings if not ending.problem) == ["a", "b", "c"]
    assert tables_of(run) == before
    assert len(list(run.objects.list("data/"))) == 3
