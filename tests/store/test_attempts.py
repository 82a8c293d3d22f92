"""What is in flight is told by records of attempts, by the store's clock."""

import os
from pathlib import Path

import pytest

from clipneuron.store.store import Run
from tests.samples.tables import means, new_run


@pytest.fixture
def run(place: str) -> Run:
    return new_run(place)


def test_a_shard_is_in_flight_from_its_start_to_its_commit(run: Run) -> None:
    assert run.in_flight("calibrate", within=60) == []
    attempt = run.started("calibrate", "00000")
    run.started("calibrate", "00001")
    assert run.in_flight("calibrate", within=60) == ["00000", "00001"]
    commit = run.commit("calibrate", "00000", {"means": means(1.0)}, attempt=attempt)
    assert commit.attempt == attempt
    assert run.in_flight("calibrate", within=60) == ["00001"]
    assert run.in_flight("effects", within=60) == []


def test_a_failed_attempt_is_not_in_flight_but_the_next_one_is(run: Run) -> None:
    for failures in range(3):
        run.started("calibrate", "00000")
        assert run.in_flight("calibrate", within=60) == ["00000"], failures
        run.record_failure("calibrate", "00000", ValueError("no"))
        assert run.in_flight("calibrate", within=60) == [], failures


def test_an_attempt_that_was_killed_counts_until_its_time_is_over(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.started("calibrate", "00000")
    [key] = run.objects.list("attempts/")
    path = Path(run.objects.location(key))
    old = path.stat().st_mtime - 100
    os.utime(path, (old, old))
    assert run.in_flight("calibrate", within=90) == []
    assert run.in_flight("calibrate", within=110) == ["00000"]


def test_an_attempt_is_one_object(run: Run) -> None:
    before = len(list(run.objects.list("")))
    run.started("calibrate", "00000")
    assert len(list(run.objects.list(""))) == before + 1
