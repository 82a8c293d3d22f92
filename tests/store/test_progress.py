"""What is seen of the work on a stage without reading its markers, on disk and on S3."""

import pytest

from clipneuron.store.outlines import Cut, StageOrder
from clipneuron.store.records import Failure
from clipneuron.store.store import Run
from tests.samples.tables import means, new_run


@pytest.fixture
def run(place: str) -> Run:
    return new_run(place)


def commit(run: Run, shard: str, failed: int = 0) -> None:
    failures = [Failure(f"{shard}-{number}", "empty", "no bytes") for number in range(failed)]
    run.commit("calibrate", shard, {"means": means(1.0)}, failures=failures)


def cut(*sizes: int) -> Cut:
    return Cut.of("calibrate", "images", [(f"{n:05d}", rows) for n, rows in enumerate(sizes)], 3)


def test_a_cut_names_only_the_shards_of_another_size() -> None:
    announced = cut(256, 256, 256, 17)
    assert announced.others == {"00003": 17}
    assert (announced.shards, announced.rows) == (4, 785)
    assert announced.rows_of(["00001", "00003"]) == 273
    assert (cut().shards, cut().rows) == (0, 0)


def test_what_is_said_again_is_not_written_again(run: Run) -> None:
    order = StageOrder(stages=("plan", "calibrate"), details={"recipe": {"limit": 3}})
    assert run.announced() is None
    assert [run.announce(said) for said in (order, cut(4, 4), order, cut(4, 4))] == [
        True,
        True,
        False,
        False,
    ]
    assert run.announce(cut(4, 4, 2))
    assert run.announced() == order
    assert run.progress("calibrate", within=60).cut == cut(4, 4, 2)


def test_done_begun_and_failed_shards_are_told_apart(run: Run) -> None:
    run.announce(cut(4, 4, 4, 4))
    for shard in ("00000", "00001", "00002"):
        run.started("calibrate", shard)
    commit(run, "00000", failed=2)
    run.record_failure("calibrate", "00002", OSError("no"))
    run.record_failure("calibrate", "00002", OSError("no"))
    run.record_failure("calibrate", "00000", OSError("once"))
    seen = run.progress("calibrate", within=3600)
    assert set(seen.done) == {"00000"}
    assert seen.begun == ("00001",)
    assert seen.failed_attempts == {"00002": 2}
    assert (seen.failed_rows, seen.unseen) == (2, 0)
    assert run.stages_with_failures() == ["calibrate"]


def test_failed_rows_come_from_the_manifest_and_from_markers_it_does_not_know(run: Run) -> None:
    commit(run, "00000", failed=2)
    run.write_manifest("calibrate")
    commit(run, "00001", failed=3)
    seen = run.progress("calibrate", within=60)
    assert (seen.failed_rows, seen.unseen) == (5, 0)


def test_of_many_unknown_markers_a_sample_is_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipneuron.store.progress._MOST_READ", 2)
    for number in range(5):
        commit(run, f"{number:05d}", failed=1)
    seen = run.progress("calibrate", within=60)
    assert (seen.failed_rows, seen.unseen) == (2, 3)
    run.write_manifest("calibrate")
    seen = run.progress("calibrate", within=60)
    assert (seen.failed_rows, seen.unseen) == (5, 0)


def test_a_stage_of_which_nothing_is_known_is_empty(run: Run) -> None:
    seen = run.progress("effects", within=60)
    assert (seen.cut, dict(seen.done), seen.begun) == (None, {}, ())
