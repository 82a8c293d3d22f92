"""`run --grow`, as a schedule gives it again and again: unchanged, more pictures, other weights, lost pictures."""

import shutil

import pytest
import safetensors.torch

from clipneuron.cli import main
from clipneuron.cli import run as computing
from clipneuron.config.overlap import BUSY
from clipneuron.store import leases
from clipneuron.store.store import Store
from tests.cli.user import recipe, run

pytestmark = pytest.mark.slow


def grow(place, *more: str) -> int:
    """Up to the means, which spares the pursuits and the report."""
    return run(place, "--grow", "--overlap", "forbid", "--until", "calibrate", *more)


def the_run(place):
    (found,) = Store(place / "store").runs()
    return found


def forget(run) -> None:
    """As if a driver had died before the means."""
    for shard in run.done("calibrate"):
        run.objects.delete(f"commits/calibrate/{shard}.json")


@pytest.fixture
def no_work(monkeypatch):
    def engine(*_: object, **__: object) -> None:
        raise AssertionError("this should have needed no engine")

    monkeypatch.setattr(computing, "engine", engine)


def test_a_first_time_begins_a_run(place, capsys):
    assert grow(place) == 0
    assert "Stages" in capsys.readouterr().out


def test_unchanged_it_says_so_in_a_line(place, capsys, no_work):
    before = list(the_run(place).objects.entries(""))
    assert grow(place) == 0
    told = capsys.readouterr()
    assert told.out == (
        f"unchanged: {the_run(place).name} has all of these 12 pictures, and nothing was left to do\n"
    )
    assert list(the_run(place).objects.entries("")) == before


def test_where_another_one_works_it_leaves_the_work(place, capsys, monkeypatch):
    found = the_run(place)
    forget(found)
    held = leases.take(found.objects, "clipneuron run --elsewhere")
    assert isinstance(held, leases.Held)
    assert grow(place) == BUSY
    told = capsys.readouterr()
    assert "`clipneuron run --elsewhere`, process" in told.err
    assert f"since {held.lease.since}; the work is left to it" in told.err
    assert not found.done("calibrate")
    held.give_back()


def test_a_run_that_broke_off_is_finished(place, capsys):
    found = the_run(place)
    assert grow(place) == 0
    assert found.done("calibrate")
    assert "unchanged" not in capsys.readouterr().out


def test_new_pictures_are_a_part_more(place, capsys):
    shutil.copy(place / "pictures" / "000.png", place / "pictures" / "100.png")
    assert grow(place) == 0
    found = the_run(place)
    assert f"1 new picture: a part more of {found.name}" in capsys.readouterr().err
    assert list(found.committed("plan")) == ["part-0000", "part-0001"]
    assert found.read("plan", "plan")["image"].to_pylist()[12:] == ["100.png"]


def test_after_that_it_is_unchanged_again(place, capsys, no_work):
    assert grow(place) == 0
    assert "has all of these 13 pictures" in capsys.readouterr().out


def test_lost_pictures_are_said(place, capsys):
    lost = place / "pictures" / "003.png"
    kept = lost.rename(place / "003.png")
    before = list(the_run(place).objects.entries(""))
    assert grow(place) == 1
    told = capsys.readouterr().err
    assert f"{the_run(place).name} can't grow: 1 picture of the previous plan is gone" in told
    assert "003.png" in told
    assert "Without --grow, a new run begins beside it" in told
    assert list(the_run(place).objects.entries("")) == before
    shutil.move(kept, lost)


def test_other_weights_begin_another_run(place, capsys):
    first = the_run(place)
    shutil.copytree(place / "model", place / "other")
    words = [
        word if word != str(place / "model") else str(place / "other") for word in recipe(place)
    ]
    path = place / "other" / "open_clip_model.safetensors"
    state = safetensors.torch.load_file(path)
    state["visual.proj"] += 1
    safetensors.torch.save_file(state, path)
    own = ["--engine", "in-process", "--store", str(place / "store"), "--until", "plan"]
    assert main(["run", *words, *own, "--grow"]) == 0
    assert f"other weights than {first.name}: a new run begins beside it" in capsys.readouterr().err
    assert len(Store(place / "store").runs()) == 2


def test_it_is_either_found_or_named(place, capsys):
    assert run(place, "--grow", "--extend", "run") == 1
    assert "--grow finds the run" in capsys.readouterr().err
