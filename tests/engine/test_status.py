"""How far a stage is: states, rates and remaining times from times of commits alone."""

from dataclasses import replace

import pytest

from clipneuron.engine.status import ACTIVITY, ALIVE, RunStatus, StageStatus
from clipneuron.store.outlines import Cut
from clipneuron.store.progress import Progress

CUT = Cut.of("effects", "images", [(f"{n:02d}", 10) for n in range(9)] + [("09", 5)], 3)
EMPTY = Progress("effects", CUT, {}, (), {}, 0, 0)


def done(*times: float) -> dict[str, float]:
    return {f"{number:02d}": time for number, time in enumerate(times)}


def test_the_rate_is_that_of_what_followed_the_first_commit() -> None:
    status = StageStatus.of(replace(EMPTY, done=done(100.0, 102.0, 104.0)))
    assert status.rows == 30
    assert status.total_rows == 95
    assert status.rate == 20 / 4
    assert status.remaining(now=105.0) == 65 / 5
    assert status.last == 104.0


def test_only_the_last_minutes_of_activity_count() -> None:
    late = 100.0 + 10 * ACTIVITY
    status = StageStatus.of(replace(EMPTY, done=done(100.0, late, late + 2)))
    assert status.rate == 10 / 2


@pytest.mark.parametrize("times", [(), (100.0,), (100.0, 100.0)])
def test_too_few_commits_have_no_rate(times: tuple[float, ...]) -> None:
    status = StageStatus.of(replace(EMPTY, done=done(*times)))
    assert status.rate is None
    assert status.remaining(now=101.0) is None


def test_nothing_is_foretold_of_a_stage_that_stands_still() -> None:
    status = StageStatus.of(replace(EMPTY, done=done(100.0, 102.0)))
    assert status.remaining(now=102.0 + ALIVE + 1) is None


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        ({}, "waiting"),
        ({"begun": ("00",)}, "running"),
        ({"done": done(1.0)}, "stopped"),
        ({"done": done(*range(10))}, "complete"),
        ({"done": done(*range(8)), "failed_attempts": {"08": 3, "09": 3}}, "stuck"),
        ({"done": done(*range(8)), "failed_attempts": {"08": 3, "09": 2}}, "stopped"),
        ({"begun": ("09",), "failed_attempts": {"09": 2}}, "running"),
        ({"begun": ("09",), "failed_attempts": {"09": 3}}, "stopped"),
    ],
)
def test_states(seen: dict[str, object], state: str) -> None:
    assert StageStatus.of(replace(EMPTY, **seen)).state == state


def test_a_stage_that_nobody_has_cut_yet_is_not_complete() -> None:
    status = StageStatus.of(replace(EMPTY, cut=None))
    assert (status.state, status.shards, status.complete) == ("waiting", None, False)
    assert not RunStatus("run", (status,), known=True).complete


def test_a_run_is_complete_when_it_is_known_and_all_stages_are() -> None:
    complete = StageStatus.of(replace(EMPTY, done=done(*range(10))))
    assert RunStatus("run", (complete,), known=True).complete
    assert not RunStatus("run", (complete,), known=False).complete
    waiting = StageStatus.of(EMPTY)
    found = RunStatus("run", (complete, waiting), known=True)
    assert (found.complete, found.next, found.last) == (False, waiting, 9.0)
