"""Drivers that work on one run at once, attempts that outlive their time, shards that kill, runs with nothing to do."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from clipneuron.cli import main
from clipneuron.engine.runner import Runner
from clipneuron.store.store import Run, Store
from clipneuron.sweep.stages.effects import EffectsStage
from tests.faults.hooks import Deadly, Held, Hook, HookedStage, Log, Slow, hooked, wait_for
from tests.faults.light import Light, light_run
from tests.faults.worlds import attempts, carry_out, check_same, on_cluster
from tests.samples.world import finished, quiet_runner, sweep_of, write_pictures

pytestmark = [pytest.mark.environment, pytest.mark.slow, pytest.mark.timeout(240)]
SHAPE = {"shard_size": 2}
LIGHT = Light(12)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_pictures(folder / "pictures")
    return folder


@pytest.fixture(scope="module")
def undisturbed(world: Path) -> Run:
    return finished(world, "undisturbed", **SHAPE)[1]


class Aside:
    """A call in a thread, whose error is raised where the block ends."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call, self._errors = call, list[BaseException]()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Aside":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        for error in self._errors:
            raise error

    def _work(self) -> None:
        try:
            self._call()
        except BaseException as error:
            self._errors.append(error)


def carry_out_light(run: Run, runner: Runner, stage: Light, hook: Hook) -> None:
    runner.run_stage(HookedStage(stage, hook), hooked(run, hook))


def test_two_drivers_at_once_share_a_run(cluster: Cluster, tmp_path: Path) -> None:
    run, stage = Store(tmp_path / "shared").open_run("light", {}), Light(24)
    # The second one comes late and is quick: neither can be done before the other has committed something.
    there, here = Slow(tmp_path / "there", 0.5), Slow(tmp_path / "here", 0.01)
    with Aside(lambda: carry_out_light(run, on_cluster(), stage, there)):
        wait_for(lambda: run.done("light"), "the cluster to commit a shard")
        carry_out_light(run, quiet_runner(), stage, here)
    check_same(run, light_run(tmp_path / "undisturbed", stage))
    pids = {commit.pid for commit in run.committed("light").values()}
    assert os.getpid() in pids
    assert len(pids) > 1, "both drivers should have committed something"


def test_an_attempt_that_wakes_up_after_another_has_committed_changes_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    run = Store(tmp_path / "store").open_run("light", {})
    undisturbed = light_run(tmp_path / "undisturbed", LIGHT)
    held = Held(tmp_path, "marker", "0002")
    with Aside(lambda: carry_out_light(run, on_cluster(), LIGHT, held)), held.holding():
        quiet_runner().run_stage(LIGHT, run)
        before = attempts(run)
    assert attempts(run) == before
    check_same(run, undisturbed)
    late = list(run.objects.list("data/light/0002/"))
    assert len(late) == 2, "the object of the late attempt should lie there, unnamed"
    assert run.remove(run.garbage(older_than=0)) >= 1
    check_same(run, undisturbed)


def test_a_complete_run_does_no_work_and_writes_nothing(
    cluster: Cluster, world: Path, undisturbed: Run, tmp_path: Path
) -> None:
    log, sweep = Log(tmp_path), sweep_of(world, "undisturbed", **SHAPE)
    before = modified(world / "undisturbed")
    reports = carry_out(sweep, on_cluster(), log)
    assert list(tmp_path.iterdir()) == [], "no worker should be built, no shard loaded"
    assert [report.done_now for report in reports] == [0] * len(reports)
    assert modified(world / "undisturbed") == before


def test_the_log_of_steps_sees_the_work_of_a_run_that_is_not_complete(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Else the test before this one could not fail."""
    (tmp_path / "log").mkdir()
    log, run = Log(tmp_path / "log"), Store(tmp_path / "store").open_run("light", {})
    carry_out_light(run, on_cluster(actors=1), LIGHT, log)
    assert log.count("build") == 1
    assert log.count("process") == log.count("committed") == LIGHT.count


def test_a_cut_off_picture_is_a_row_with_its_reason(undisturbed: Run) -> None:
    norms = undisturbed.read("effects", "norms", columns=["image", "status"]).to_pylist()
    assert [row for row in norms if row["status"] != "ok"] == [
        {"image": "005.png", "status": "truncated"}
    ]
    assert len(norms) == 12
    assert undisturbed.failures("effects") == {}


def test_a_shard_that_kills_its_process_is_set_aside_and_harms_no_other(
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As a user meets it: by the command's words and exit status."""
    deadly = Deadly(tmp_path, "process", frozenset(["00000001"]), always=True)
    words = ["run", "--recipe", "demo", "--limit", "24", "--shard-size", "4", "--top", "6"]
    words += ["--layers", "4", "--until", "effects", "--actors", "2", "--actor-cpus", "1"]
    words += ["--attempts", "2", "--retries", "0", "--store", str(tmp_path / "store")]
    here = [*words, "--engine", "in-process"]
    assert main([*here, "--until", "calibrate"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(
            "clipneuron.sweep.pipeline.EffectsStage", lambda *a: poisoned(EffectsStage(*a), deadly)
        )
        assert main(words) == 1
        error = capsys.readouterr().err
        assert "effects: 1 shard could not be done (00000001)" in error
        assert "Traceback (most recent" not in error
        (run,) = Store(tmp_path / "store").runs()
        assert sorted(run.done("effects")) == [f"{n:08d}" for n in range(6) if n != 1]
        failures = {name: len(tries) for name, tries in run.failures("effects").items()}
        assert failures.pop("00000001") == 2
        # What waited at the same actor went down with it, once.
        assert set(failures.values()) <= {1}
        deaths = deadly.deaths("00000001")
        assert deaths == 2, "one for each attempt"

        assert main(words) == 1
        assert "00000001" in capsys.readouterr().err
        assert deadly.deaths("00000001") == deaths, "a shard in quarantine is not tried again"
    run.forget_failures("effects", "00000001")
    assert main(here) == 0
    assert len(run.done("effects")) == 6
    assert run.verify() == []


def poisoned(stage: EffectsStage, deadly: Deadly) -> HookedStage:
    return HookedStage(stage, deadly)


def modified(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
