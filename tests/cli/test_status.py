"""`clipneuron status`: what a person or a script learns from the store alone."""

import pytest

from clipneuron.cli import main
from clipneuron.engine.stage import short_names
from clipneuron.store.store import Run, Store
from tests.cli.user import complete, run
from tests.samples.world import copied, quiet_runner, sweep_of

pytestmark = pytest.mark.slow


def status(place, *more: str, store: str = "store") -> int:
    return main(["status", "--store", str(place / store), *more])


def row(out: str, stage: str) -> list[str]:
    """The cells of a stage's row."""
    line = next(line for line in out.splitlines() if f" {stage} " in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def cells(capsys: pytest.CaptureFixture[str], stage: str, count: int) -> list[str]:
    return row(capsys.readouterr().out, stage)[:count]


def begun(tmp_path) -> Run:
    sweep = sweep_of(tmp_path)
    done, _ = sweep.run(quiet_runner(), until="plan")
    return done


def test_a_planned_run_waits_for_its_first_stage(tmp_path, capsys):
    begun(tmp_path)
    assert status(tmp_path) == 3
    out = capsys.readouterr().out
    assert row(out, "plan")[1:6] == ["complete", "1/1", "-", "-", "12 images"]
    assert row(out, "directions")[1:3] == ["waiting", "-"]
    assert "not complete; next: texts-texts;" in out


def test_a_run_that_was_stopped_says_what_is_next(place, capsys):
    assert run(place, "--until", "calibrate", store="partial") == 0
    capsys.readouterr()
    assert status(place, store="partial") == 3
    out = capsys.readouterr().out
    assert row(out, "calibrate")[1:6] == ["complete", "3/3", "-", "-", "12 images"]
    assert row(out, "calibrate")[6] == "1"
    assert "next: effects" in out


@pytest.fixture(scope="module")
def effects(tmp_path_factory) -> Run:
    """A run as far as its effects."""
    return sweep_of(tmp_path_factory.mktemp("effects")).run(quiet_runner(), until="effects")[0]


def test_shards_that_are_lost_while_others_work_are_told_apart(effects, tmp_path, capsys):
    done = copied(effects, Store(tmp_path / "store").objects)
    done.objects.delete("commits/effects/00000000.json")
    done.objects.delete("commits/effects/00000001.json")
    done.started("effects", "00000000")
    for _ in range(3):
        done.record_failure("effects", "00000001", OSError("poison"))
    assert status(tmp_path) == 3
    out = capsys.readouterr().out
    assert row(out, "effects")[1:6] == ["running", "1/3", "1", "1", "4 images"]
    assert "now: effects" in out
    assert "in quarantine after too many failed attempts: 1 shard of effects" in out
    assert "retry-failed" in out


def test_what_only_quarantine_holds_up_is_stuck(effects, tmp_path, capsys):
    done = copied(effects, Store(tmp_path / "store").objects)
    done.objects.delete("commits/effects/00000001.json")
    for _ in range(3):
        done.record_failure("effects", "00000001", OSError("poison"))
    assert status(tmp_path) == 3
    assert cells(capsys, "effects", 5) == ["effects", "stuck", "2/3", "-", "1"]


def test_a_complete_run_is_status_0_and_nothing_is_written(place, capsys):
    complete(place, "store")
    objects = sorted(Store(place / "store").objects.entries(""))
    capsys.readouterr()
    assert status(place) == 0
    out = capsys.readouterr().out
    assert out.count("complete") == 8
    assert "complete; last commit" in out
    assert sorted(Store(place / "store").objects.entries("")) == objects


def test_several_runs_are_a_line_each(place, capsys):
    complete(place, "several")
    assert run(place, "--top", "4", "--until", "plan", store="several") == 0
    capsys.readouterr()
    assert status(place, store="several") == 3
    out = capsys.readouterr().out
    states = {row(out, run.name)[1] for run in Store(place / "several").runs()}
    assert states == {"complete", "waiting"}
    name = next(run.name for run in Store(place / "several").runs() if run.stages() != ["plan"])
    assert status(place, "--run", name, store="several") == 0


@pytest.mark.slow
def test_a_run_that_grew_is_not_complete_until_it_is_described_anew(tmp_path, capsys):
    sweep = sweep_of(tmp_path, limit=11)
    done, _ = sweep.run(quiet_runner())
    assert status(tmp_path) == 0
    grown = sweep_of(tmp_path, extends=done.name)
    grown.run(quiet_runner(), until="plan")
    capsys.readouterr()
    assert status(tmp_path) == 3
    out = capsys.readouterr().out
    assert row(out, short_names(done.announced().stages)[done.stage("directions")])[1] == "waiting"
    grown.run(quiet_runner())
    assert status(tmp_path) == 0


@pytest.mark.parametrize("words", [["--run", "nobody"], ["--store", "no/such/store"]])
def test_a_wrong_name_is_one_clear_sentence(place, capsys, words):
    assert status(place, *words, store="nothing") == 1
    assert capsys.readouterr().err.startswith("clipneuron: ")


def test_watching_ends_when_the_run_is_complete(tmp_path, capsys, monkeypatch):
    sweep = sweep_of(tmp_path)
    sweep.run(quiet_runner(), until="plan")
    slept: list[float] = []

    def work(seconds: float) -> None:
        slept.append(seconds)
        sweep.run(quiet_runner())

    monkeypatch.setattr("clipneuron.cli.upkeep.status.time.sleep", work)
    assert status(tmp_path, "--watch", "7") == 0
    assert slept == [7.0]
    out = capsys.readouterr().out
    assert out.index("not complete; next: texts-texts;") < out.index("complete; last commit")
