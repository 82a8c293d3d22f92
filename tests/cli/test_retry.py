"""`clipneuron retry-failed`: fixed pictures and shards in quarantine are done after all, each once."""

import shutil

import pytest

from clipneuron.cli import main
from clipneuron.config.recipe import Recipe
from clipneuron.engine.runner import StageReport
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Run, Store
from clipneuron.sweep.pipeline import Sweep
from tests.cli.user import run, settle
from tests.samples.world import quiet_runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A copy of the folder `here` beside it, as it is after a run: 005.png is cut off, 007.png no picture."""
    folder = tmp_path_factory.mktemp("retry")
    settle(folder / "here")
    (folder / "here" / "pictures" / "007.png").write_bytes(b"no picture")
    assert run(folder / "here", "--max-failed-share", "0.2") == 0
    return shutil.copytree(folder / "here", folder / "kept")


@pytest.fixture
def place(kept):
    """The folder as it was, in the place that the run's recipe names: its pictures may be fixed."""
    folder = kept.with_name("here")
    shutil.rmtree(folder)
    return shutil.copytree(kept, folder)


def retry(place, *more: str) -> int:
    words = ["retry-failed", "--store", str(place / "store"), "--engine", "in-process"]
    return main([*words, *more])


def repair(place, name: str = "005.png") -> None:
    shutil.copy(place / "pictures" / "000.png", place / "pictures" / name)


def the_run(place) -> Run:
    return Store(place / "store").find_run("run")


def effects_again(place) -> list[StageReport]:
    """What the runner says of the complete sweep, at the share that it really has."""
    found = the_run(place)
    sweep = Sweep.of(Recipe(**found.announced().details["recipe"]), Store(place / "store"))
    effects = sweep.stages(Planned.of(found)).effects
    return quiet_runner(max_failed_share=1 / 12).run([effects], found)


def rows(run: Run) -> list[tuple[str, str]]:
    table = run.read("effects", "norms", columns=["image", "status"])
    return [tuple(row.values()) for row in table.to_pylist()]


def test_a_mended_picture_becomes_a_row_of_a_new_part(place, capsys):
    before = the_run(place).stages()
    repair(place)
    capsys.readouterr()
    assert retry(place) == 0
    out = capsys.readouterr().out
    assert "can be used now: 1 of 2 failed pictures" in out
    assert "still not usable, not_an_image: 007.png" in out
    run = the_run(place)
    assert list(run.committed("plan")) == ["part-0000", "part-0001"]
    assert rows(run)[12:] == [("005.png", "ok")]
    usable = [image for image, status in rows(run) if status == "ok"]
    assert sorted(usable) == [f"{number:03d}.png" for number in range(12) if number != 7]
    added = set(run.stages()) - set(before)
    assert added == {run.stage("directions"), run.stage("descriptions")}
    counts = run.read(run.stage("directions"), "directions", columns=["count"])["count"]
    assert set(counts.to_pylist()) == {11}
    assert "Most selective neurons" in out


def test_what_was_retried_is_not_counted_twice(place, capsys):
    repair(place)
    assert retry(place) == 0
    # 1 of 12 pictures is still unusable, though 2 rows of 13 say so.
    failed = {report.failed_rows for report in effects_again(place)}
    assert failed == {1}
    capsys.readouterr()
    assert retry(place) == 0
    out = capsys.readouterr().out
    assert "can be used now: 0 of 1 failed picture\n" in out
    assert "nothing was changed" in out


def test_nothing_to_do_changes_nothing(place, capsys):
    objects = sorted(the_run(place).objects.entries(""))
    assert retry(place) == 0
    out = capsys.readouterr().out
    assert "in quarantine: 0 shards" in out
    assert "can be used now: 0 of 2 failed pictures" in out
    assert sorted(the_run(place).objects.entries("")) == objects


def test_a_dry_run_changes_nothing(place, capsys):
    repair(place)
    objects = sorted(the_run(place).objects.entries(""))
    assert retry(place, "--dry-run") == 0
    assert "can be used now: 1 of 2 failed pictures" in capsys.readouterr().out
    assert sorted(the_run(place).objects.entries("")) == objects


def test_a_picture_that_was_replaced_by_another_bad_one_does_not_block_the_others(place, capsys):
    repair(place)
    (place / "pictures" / "007.png").write_bytes(b"none, still")
    assert retry(place, "--max-failed-share", "0.2") == 0
    assert rows(the_run(place))[12:] == [("005.png", "ok"), ("007.png", "not_an_image")]


def test_new_pictures_are_left_to_extend(place, capsys):
    repair(place)
    shutil.copy(place / "pictures" / "000.png", place / "pictures" / "100.png")
    assert retry(place) == 0
    assert rows(the_run(place))[12:] == [("005.png", "ok")]
    name = the_run(place).name
    assert run(place, "--extend", name, "--max-failed-share", "0.2") == 0
    assert rows(the_run(place))[13:] == [("100.png", "ok")]


def test_a_shard_in_quarantine_is_tried_again(place, capsys):
    found = the_run(place)
    found.objects.delete("commits/effects/00000001.json")
    for _ in range(3):
        found.record_failure("effects", "00000001", OSError("the disk was unplugged"))
    assert run(place, "--max-failed-share", "0.2") == 1
    assert "retry-failed" in capsys.readouterr().err
    assert retry(place, "--max-failed-share", "0.2") == 0
    assert "in quarantine: 1 shard" in capsys.readouterr().out
    assert found.is_done("effects", "00000001")
    assert found.failures("effects") == {}


def test_a_run_that_no_recipe_began_says_so(place, capsys):
    Store(place / "other").open_run("bare", {"some": "thing"})
    words = ["retry-failed", "--store", str(place / "other")]
    assert main(words) == 1
    assert "by which recipe" in capsys.readouterr().err


def test_pictures_that_are_gone_are_named_and_nothing_is_changed(place, capsys):
    repair(place)
    (place / "pictures" / "007.png").unlink()
    objects = sorted(the_run(place).objects.entries(""))
    assert retry(place) == 1
    captured = capsys.readouterr()
    assert "missing: 007.png" in captured.out
    assert "is gone ('007.png')" in captured.err
    assert sorted(the_run(place).objects.entries("")) == objects
