"""At most one commit per shard, and readers that see all of it or nothing, whoever races, dies or is late."""

import errno
import os
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipneuron.store.errors import StoreError
from clipneuron.store.objects import local as local_module
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.store import Run
from tests.samples.processes import barrier, run_in_process, run_together, start
from tests.samples.tables import data_keys, leftovers, means, new_run, norms, values

RACERS = 8
SHARDS = [f"{number:05d}" for number in range(6)]


def race(root: str, everyone: Any, number: int) -> list[tuple[str, str]]:
    """Commits every shard and tells who won each."""
    run = new_run(root)
    won = []
    for shard in SHARDS:
        everyone.wait(60)
        tables = {"means": means(float(number)), "norms": norms([f"by-{number}"])}
        won.append((shard, run.commit("calibrate", shard, tables, attempt=f"r{number}").attempt))
    return won


@pytest.mark.process
def test_racing_processes_agree_on_one_commit_per_shard(place: str) -> None:
    everyone = barrier(RACERS)
    told = run_together(race, [(place, everyone, number) for number in range(RACERS)])
    run = new_run(place)
    commits = run.committed("calibrate")
    assert list(commits) == SHARDS
    for views in told:
        assert views == [(shard, commit.attempt) for shard, commit in commits.items()]
    for shard, commit in commits.items():
        winner = commit.attempt.removeprefix("r")
        assert values(run, shard) == {float(winner)}
        assert run.read("calibrate", "norms", shards=[shard])["image"].to_pylist() == [
            f"by-{winner}"
        ]
    assert len(data_keys(run)) > 2 * len(SHARDS), "nobody raced"
    assert run.verify() == []


def count_failures(root: str, everyone: Any) -> list[int]:
    run = new_run(root)
    everyone.wait(60)
    return [run.record_failure("calibrate", "00000", ValueError("no")) for _ in range(5)]


@pytest.mark.process
def test_failures_recorded_at_once_are_all_counted(place: str) -> None:
    everyone = barrier(4)
    counts = run_together(count_failures, [(place, everyone)] * 4)
    assert sorted(number for each in counts for number in each) == list(range(1, 21))


class Slow(LocalObjects):
    """Objects of an attempt that stalls before its marker: `meanwhile` happens first."""

    meanwhile: Callable[[], object]

    def create(self, key: str, data: bytes) -> bool:
        self.meanwhile()
        return super().create(key, data)


def slow(run: Run, meanwhile: Callable[[], object]) -> Run:
    assert isinstance(run.objects, LocalObjects)
    objects = Slow(run.objects.root)
    object.__setattr__(objects, "meanwhile", meanwhile)
    return Run(objects, run.record)


def test_a_late_attempt_changes_no_view(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    seen: list[Any] = []

    def others_finish() -> None:
        run.commit("calibrate", "00000", {"means": means(1.0)}, attempt="quick")
        seen.append(run.read("calibrate", "means"))

    late = slow(run, others_finish).commit(
        "calibrate", "00000", {"means": means(2.0)}, attempt="late"
    )
    assert late.attempt == "quick"
    assert run.read("calibrate", "means").equals(seen[0])
    assert run.dataset("calibrate", "means").count_rows() == 3
    assert len(run.files("calibrate", "means")) == 1
    assert len(data_keys(run)) == 2


def test_nothing_is_seen_before_the_marker(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    seen: list[int] = []
    slow(run, lambda: seen.append(len(run.committed("calibrate")))).commit(
        "calibrate", "00000", {"means": means(1.0)}
    )
    assert seen == [0]
    assert len(run.committed("calibrate")) == 1


def test_a_lost_answer_to_the_winning_write_is_harmless(tmp_path: Path) -> None:
    """The marker was created, but the store's answer got lost and the write was sent again."""
    run = new_run(tmp_path)

    class Repeating(LocalObjects):
        def create(self, key: str, data: bytes) -> bool:
            super().create(key, data)
            return super().create(key, data)

    assert isinstance(run.objects, LocalObjects)
    repeating = Run(Repeating(run.objects.root), run.record)
    commit = repeating.commit("calibrate", "00000", {"means": means(1.0)}, attempt="mine")
    assert commit.attempt == "mine"
    assert values(run) == {1.0}


attempts = st.lists(st.tuples(st.sampled_from(SHARDS[:3]), st.integers(0, 9)), max_size=8)


@settings(max_examples=15)
@given(attempts)
@pytest.mark.slow
def test_whatever_the_order_the_first_marker_counts(attempts: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = new_run(Path(folder))
        first: dict[str, float] = {}

        def nested(rest: list[tuple[str, int]]) -> None:
            """Each attempt stalls before its marker until all later ones are done."""
            if rest:
                shard, value = rest[0]
                late = slow(run, partial(nested, rest[1:]))
                late.commit("calibrate", shard, {"means": means(float(value))})
                first.setdefault(shard, float(value))

        nested(attempts)
        assert {shard: values(run, shard) for shard in run.committed("calibrate")} == {
            shard: {value} for shard, value in first.items()
        }
        assert run.verify() == []


DYING = ("mkdir", "link", "fsync", "replace", "unlink")


def die_at(point: int) -> None:
    """Ends this process, as kill -9 would, at its `point`-th change of the file system."""
    left = [point]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return function(*arguments, **options)

        return call

    def write_in_halves(path: Path, data: bytes) -> None:
        with path.open("xb") as file:
            for half in (data[: len(data) // 2], data[len(data) // 2 :]):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                file.write(half)
                file.flush()

    local_module._write_synced = write_in_halves
    for name in DYING:
        setattr(os, name, counted(getattr(os, name)))


def commit_and_die(root: Path, point: int) -> None:
    run = new_run(root)
    die_at(point)
    run.commit("calibrate", "00000", {"means": means(1.0), "norms": norms(["a"])})


def die_at_every_point(root: Path) -> int:
    """How many points there are, after a process has died at each."""
    for point in range(200):
        child = os.fork()
        if not child:
            commit_and_die(root / str(point), point)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            return point
    return 200


@pytest.mark.process
def test_a_process_killed_at_any_point_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Every change of the file system is tried as the last one."""
    points = run_in_process(die_at_every_point, tmp_path)
    assert 20 < points < 200
    roots = [tmp_path / str(point) for point in range(points + 1)]
    assert any(leftovers(root) for root in roots), "no write was ever cut in half"
    assert [len(new_run(root).committed("calibrate")) for root in roots][-1] == 1
    for root in roots:
        everything_or_nothing(root)


def everything_or_nothing(root: Path) -> None:
    run = new_run(root)
    assert run.verify() == []
    if run.committed("calibrate"):
        assert values(run) == {1.0}
    else:
        with pytest.raises(StoreError, match="has committed nothing yet"):
            run.read("calibrate", "means")
    run.commit("calibrate", "00000", {"means": means(2.0), "norms": norms(["a"])})
    assert values(run) in ({1.0}, {2.0})
    assert run.read("calibrate", "norms").num_rows == 1
    assert run.verify() == []


def commit_for_ever(root: Path) -> None:
    run = new_run(root)
    for number in range(10**6):
        run.commit("calibrate", f"{number:07d}", {"means": means(float(number))})


@pytest.mark.process
def test_kill_9_at_a_random_moment_loses_the_shard_in_flight_only(tmp_path: Path) -> None:
    random.seed(5)
    for trial in range(3):
        root = tmp_path / str(trial)
        process = start(commit_for_ever, root)
        deadline = time.monotonic() + 60
        while len(list(root.rglob("data/*/*/*.parquet"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.random() / 20)
        process.kill()
        process.join()
        run = new_run(root)
        done = len(run.committed("calibrate"))
        assert done >= 4
        assert len(data_keys(run)) - done in (0, 1)
        assert run.verify() == []
        assert values(run) == set(map(float, range(done)))


@pytest.mark.parametrize("full_from", range(1, 6))
def test_a_disk_that_fills_up_mid_commit_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_from: int
) -> None:
    run = new_run(tmp_path)
    calls = iter(range(1, 100))
    write = local_module._write_synced

    def fills_up(path: Path, data: bytes) -> None:
        if next(calls) >= full_from:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, data)

    monkeypatch.setattr(local_module, "_write_synced", fills_up)
    tables = {"means": means(1.0), "norms": norms(["a"])}
    if full_from <= 3:
        with pytest.raises(StoreError, match=r"No space left on device.*run the same command"):
            run.commit("calibrate", "00000", tables)
    else:
        run.commit("calibrate", "00000", tables)
    assert len(run.committed("calibrate")) == (full_from > 3)
    assert leftovers(tmp_path) == []
    assert run.verify() == []
    monkeypatch.undo()
    run.commit("calibrate", "00000", tables)
    assert values(run) == {1.0}
