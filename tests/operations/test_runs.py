"""The runs of a store beside each other, and the removal of those that later ones have replaced."""

import os
import time
from pathlib import Path

import pytest

from clipneuron.cli import main
from clipneuron.config.overlap import BusyError
from clipneuron.operations.schedule.retention import in_use, look, of_recipe, remove, replaced
from clipneuron.store import leases
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.outlines import Cut, StageOrder
from clipneuron.store.store import Run, Store
from clipneuron.store.upkeep.removal import remove_run
from tests.samples.tables import means

DAY = 86400.0
SHARDS = ("00000", "00001")


def made(store: Store, name: str, number: int, done: int = 2) -> Run:
    run = store.open_run(name, {"number": number})
    run.announce(StageOrder(stages=("calibrate",), kinds=("calibrate",)))
    run.announce(Cut.of("calibrate", "images", [(shard, 3) for shard in SHARDS], 3))
    for shard in SHARDS[:done]:
        run.commit("calibrate", shard, {"means": means(1.0)})
    return run


def aged(run: Run, days: float) -> Run:
    then = time.time() - days * DAY
    for path in Path(run.url).rglob("*"):
        os.utime(path, (then, then))
    return run


@pytest.fixture
def nightly(tmp_path: Path) -> dict[int, Run]:
    """Runs of the last days, by their age in days; that of day 2 was never completed."""
    store = Store(tmp_path / "store")
    return {day: aged(made(store, "demo", day, 1 if day == 2 else 2), day) for day in range(6)}


def days(found) -> list[int]:
    return [round(seen.age / DAY) for seen in found]


def test_runs_are_told_apart(nightly, tmp_path):
    found = look(Store(tmp_path / "store"))
    assert days(found) == [0, 1, 2, 3, 4, 5]
    assert [seen.status.complete for seen in found] == [True, True, False, True, True, True]
    assert [seen.share for seen in found] == [1, 1, 0.5, 1, 1, 1]
    one = nightly[3]
    files = [path for path in Path(one.url).rglob("*") if path.is_file()]
    assert (found[3].objects, found[3].size) == (
        len(files),
        sum(path.stat().st_size for path in files),
    )
    assert {seen.recipe for seen in found} == {"demo"}


def test_what_is_not_complete_replaces_nothing(nightly, tmp_path):
    found = look(Store(tmp_path / "store"))
    wanted = {1: [1, 2, 3, 4, 5], 2: [2, 3, 4, 5], 3: [4, 5], 5: [], 9: []}
    assert {keep: days(replaced(found, keep)) for keep in wanted} == wanted


def test_runs_of_several_recipes_are_told_apart(nightly, tmp_path):
    store = Store(tmp_path / "store")
    other = made(store, "demo-big", 1)
    found = look(store)
    with pytest.raises(ValueError, match="several recipes: give one by --run; there are demo, d"):
        of_recipe(found, "")
    with pytest.raises(ValueError, match="no run is of a recipe called 'dem'"):
        of_recipe(found, "dem")
    assert len(of_recipe(found, "demo")) == 6
    assert [seen.name for seen in of_recipe(found, other.name)] == [other.name]


def vacuum(tmp_path: Path, *more: str) -> int:
    return main(["vacuum", "--store", str(tmp_path / "store"), "--keep-runs", "2", *more])


def there(tmp_path: Path) -> list[str]:
    return [run.name for run in Store(tmp_path / "store").look()]


def test_old_runs_are_shown_first_and_removed_when_told_to(nightly, tmp_path, capsys):
    assert vacuum(tmp_path) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 4
    assert "4 runs, " in told.err
    assert "of 6 runs of the recipe: --delete removes them" in told.err
    assert len(there(tmp_path)) == 6
    assert vacuum(tmp_path, "--delete") == 0
    assert sorted(there(tmp_path)) == sorted(nightly[day].name for day in (0, 1))
    assert not any(Path(nightly[day].url).exists() for day in (2, 3, 4, 5))
    assert nightly[0].verify() == []


def test_what_is_in_use_stays(nightly, tmp_path, capsys):
    held = leases.take(nightly[4].objects, "clipneuron attack ...")
    assert isinstance(held, leases.Held)
    assert vacuum(tmp_path, "--older-than", "60h", "--delete") == 0
    told = capsys.readouterr().out
    assert "stays, since somebody is at work on it: `clipneuron attack ...`" in told
    assert "stays, since it was written to lately" in told
    assert sorted(there(tmp_path)) == sorted(nightly[day].name for day in (0, 1, 2, 4))


def test_a_damaged_run_stays(nightly, tmp_path, capsys):
    nightly[5].objects.put("run.json", b"{}")
    aged(nightly[5], 5)
    assert vacuum(tmp_path, "--delete") == 0
    assert nightly[5].name in there(tmp_path)
    assert main(["runs", "--store", str(tmp_path / "store")]) == 1
    assert "run.json is damaged" in capsys.readouterr().out


def test_what_came_into_use_since_it_was_looked_at_stays(nightly, tmp_path):
    seen = {round(each.age / DAY): each for each in look(Store(tmp_path / "store"))}
    nightly[3].put_file("note", b"")
    with pytest.raises(BusyError, match="has been written to since"):
        remove(seen[3], "vacuum")
    leases.take(nightly[4].objects, "clipneuron run")
    with pytest.raises(BusyError, match="`clipneuron run`"):
        remove(seen[4], "vacuum")
    assert in_use(seen[5], DAY) == ""
    assert remove(seen[5], "vacuum") > 4


def test_a_run_is_removed_from_any_store(place: str) -> None:
    store = Store(place)
    old, kept = made(store, "demo", 1), made(store, "demo", 2)
    taken = leases.take(old.objects, "before")
    assert isinstance(taken, leases.Held)
    taken.give_back()
    for seen in look(store):
        if seen.name == old.name:
            remove(seen, "vacuum")
    assert [run.name for run in store.look()] == [kept.name]
    assert list(store.objects.list(old.name)) == []
    assert kept.verify() == []


@pytest.mark.parametrize("survived", range(0, 7, 2))
def test_a_removal_that_broke_off_is_found_and_finished(tmp_path, survived):
    class Mortal(LocalObjects):
        def delete(self, key: str) -> None:
            left.append(key)
            if len(left) > survived:
                raise StoreError("killed")
            super().delete(key)

    left: list[str] = []
    store = Store(tmp_path / "store")
    run = aged(made(store, "demo", 1), 5)
    with pytest.raises(StoreError, match="killed"):
        remove_run(Mortal(Path(run.url)))
    found = look(store)
    assert [seen.name for seen in replaced(found, 0)] == [run.name]
    committed = run.committed("calibrate").values()
    assert all(run.objects.size(each.key) for one in committed for each in one.objects)
    assert remove_run(run.objects) == 7 - survived
    assert store.look() == []
    assert not Path(run.url).exists()


def test_the_verb_lists_them(nightly, tmp_path, capsys):
    leases.take(nightly[0].objects, "clipneuron run --recipe demo")
    assert main(["runs", "--store", str(tmp_path / "store")]) == 0
    out = capsys.readouterr().out
    assert out.count("complete") == 5
    assert "50 %" in out
    assert "stopped" in out
    assert f"at work on {nightly[0].name}: `clipneuron run --recipe demo`, process" in out
    assert main(["runs", "--store", str(tmp_path / "none")]) == 0
    assert "there is no run in" in capsys.readouterr().out
