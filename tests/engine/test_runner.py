"""The runner: nothing is done twice, a failing shard is a record, and too many bad rows stop a run."""

import io

import pytest
from rich.console import Console

from clipneuron.engine import runner as running
from clipneuron.engine.in_process import InProcess
from clipneuron.engine.meters import meter
from clipneuron.engine.runner import RunIncompleteError, Runner
from clipneuron.engine.stage import Output
from clipneuron.store.errors import PlaceError, StoreError
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.store import Failure, Store
from clipneuron.store.upkeep.causes import causes, summary
from tests.engine.fakes import Fake


@pytest.fixture
def run(tmp_path):
    return Store(tmp_path).open_run("fake", {})


def runner(**options) -> Runner:
    return Runner(console=Console(file=io.StringIO()), **options)


def test_a_complete_stage_is_not_even_built_again(run):
    first, again = Fake(), Fake()
    report = runner().run_stage(first, run)
    assert (report.done_now, report.rows_now, report.shards) == (3, 6, 3)
    objects = sorted(run.objects.list(""))
    report = runner().run_stage(again, run)
    assert again.log == []
    assert report.done_now == 0
    assert sorted(run.objects.list("")) == objects


def test_a_shard_that_fails_too_often_is_set_aside_until_its_failures_are_forgotten(run):
    with pytest.raises(
        RunIncompleteError, match=r"1 shard could not be done \(b\): ValueError: b is"
    ):
        runner().run_stage(Fake(breaks={"b": 99}), run)
    assert list(run.committed("fake")) == ["a", "c"]
    assert len(run.failures("fake")["b"]) == 3
    fixed = Fake()
    with pytest.raises(RunIncompleteError, match="retry-failed"):
        runner().run_stage(fixed, run)
    assert fixed.log == []
    run.forget_failures("fake", "b")
    runner().run_stage(fixed, run)
    assert fixed.log == ["build", "b"]
    assert list(run.committed("fake")) == ["a", "b", "c"]


@pytest.mark.parametrize("loads_break", [False, True])
def test_a_shard_gets_its_bounded_attempts(run, loads_break):
    stage = Fake(breaks={"b": 1}, loads_break=loads_break)
    runner(attempts=2).run_stage(stage, run)
    assert list(run.committed("fake")) == ["a", "b", "c"]
    (failure,) = run.failures("fake")["b"]
    assert ("cannot read" if loads_break else "b is broken") in failure.model_dump_json()


def test_trouble_with_the_store_is_not_the_shards_fault(run, monkeypatch):
    def full(self, key, data):
        raise StoreError("the disk is full")

    monkeypatch.setattr(LocalObjects, "put", full)
    monkeypatch.setattr(running, "PAUSE", 0.0)
    with pytest.raises(StoreError, match="the disk is full"):
        runner(attempts=2).run_stage(Fake(), run)
    monkeypatch.undo()
    assert run.failures("fake") == {}
    runner().run_stage(Fake(), run)
    assert list(run.committed("fake")) == ["a", "b", "c"]


def test_a_shard_whose_process_ended_without_a_word_counts_as_failed(run):
    class Loses:
        """Never comes back with shard b."""

        def execute(self, stage, run, todo, advance):
            for shard in todo:
                run.started(stage.name, shard.name)
            others = [shard for shard in todo if shard.name != "b"]
            yield from InProcess().execute(stage, run, others, advance)

    with pytest.raises(RunIncompleteError, match=r"\(b\): WorkerLostError: the process"):
        runner(executor=Loses()).run_stage(Fake(), run)
    assert list(run.committed("fake")) == ["a", "c"]
    assert len(run.failures("fake")["b"]) == 3


def test_shards_that_nobody_had_begun_are_not_to_blame(run):
    class Breaks:
        """Falls over before the second shard."""

        def execute(self, stage, run, todo, advance):
            yield from InProcess().execute(stage, run, todo[:1], advance)

    with pytest.raises(RunIncompleteError, match=r"1 shard not begun \(c\).*same command"):
        runner(executor=Breaks(), attempts=2).run_stage(Fake(), run)
    assert run.failures("fake") == {}
    runner().run_stage(Fake(), run)
    assert list(run.committed("fake")) == ["a", "b", "c"]


def test_too_many_bad_rows_stop_the_run_after_committing_them(run):
    with pytest.raises(RunIncompleteError, match="3 of 6 texts could not be used"):
        runner(max_failed_share=0.4).run_stage(Fake(bad_rows=1), run)
    assert len(run.committed("fake")) == 3
    assert runner(max_failed_share=0.6).run_stage(Fake(), run).failed_rows == 3


def test_progress_counts_only_what_was_done(run, monkeypatch):
    counted = []
    advance = "clipneuron.engine.meters._Lines.advance"
    monkeypatch.setattr(advance, lambda self, rows: counted.append(rows))
    with pytest.raises(RunIncompleteError):
        runner().run_stage(Fake(breaks={"b": 99}), run)
    assert sum(counted) == 4


def test_progress_is_lines_off_a_terminal_and_a_bar_on_one(monkeypatch):
    times = iter([0.0, 15.0, 100.0])
    monkeypatch.setattr("clipneuron.engine.meters.time.monotonic", lambda: next(times))
    out = io.StringIO()
    with meter(Console(file=out, width=100), "effects", 100, 20, "images") as bar:
        bar.advance(30)
    assert out.getvalue().splitlines() == [
        "effects: 50/100 images, 2.0/s, 25 s left",
        "effects: 30 images in 1 m 40 s",
    ]
    monkeypatch.undo()
    out = io.StringIO()
    with meter(
        Console(file=out, width=100, force_terminal=True), "effects", 100, 20, "images"
    ) as bar:
        bar.advance(80)
    assert "100/100" in out.getvalue()


class Away(Fake):
    """A stage whose place is in trouble for some loads."""

    def __init__(self, error, times, only=("a", "b", "c")):
        super().__init__()
        self.error, self.times, self.only, self.asked = error, times, only, []

    def load(self, shard):
        self.asked.append(shard.name)
        if shard.name in self.only and self.times:
            self.times -= 1
            raise self.error
        return shard.payload


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(running, "PAUSE", 0.0)


def test_a_place_in_trouble_stops_the_run_and_is_held_against_nothing(run, hasty):
    away = Away(PlaceError("the disk is gone."), 99)
    with pytest.raises(PlaceError, match=r"fake: the disk is gone\. Nothing .* any of the texts"):
        runner(attempts=2).run_stage(away, run)
    assert run.failures("fake") == {}
    assert run.in_flight("fake", 1e9) == []
    assert run.done("fake") == set()
    runner().run_stage(Fake(), run)
    assert run.done("fake") == {"a", "b", "c"}


def test_trouble_that_passes_is_sat_out(run, hasty):
    runner().run_stage(Away(PlaceError("busy"), 3), run)
    assert run.done("fake") == {"a", "b", "c"}


def test_a_place_that_lets_something_through_is_not_given_up(run, hasty):
    away = Away(PlaceError("busy"), 4, only=("b",))
    with pytest.raises(PlaceError, match="busy"):
        runner(attempts=2).run_stage(away, run)
    assert run.done("fake") == {"a", "c"}
    runner(attempts=3).run_stage(Away(PlaceError("busy"), 2, only=("b",)), run)
    assert run.done("fake") == {"a", "b", "c"}


def test_a_service_that_was_waited_for_is_not_asked_again(run):
    away = Away(ConnectionError("nobody answers"), 99)
    with pytest.raises(PlaceError, match="nobody answers"):
        runner().run_stage(away, run)
    assert len(away.asked) <= 2, "one, and one that is loaded ahead"
    assert run.failures("fake") == {}


def test_a_refusal_gives_the_commonest_reasons_and_the_command_that_lists_all(run):
    class Bad(Fake):
        """Fails for four reasons."""

        def process(self, loaded, advance):
            output = super().process(loaded, advance)
            reasons = [("empty", "no bytes"), ("empty", "no bytes"), ("odd", f"at byte {loaded}")]
            failures = [
                Failure(f"{loaded}/{n}.png", status, f"{loaded}/{n}.png: {reason}")
                for n, (status, reason) in enumerate(reasons)
            ]
            return Output(output.tables, failures)

    with pytest.raises(RunIncompleteError) as caught:
        runner().run_stage(Bad(), run)
    said = str(caught.value)
    assert "6 empty (such as a/0.png: no bytes); 1 odd (a/2.png: at byte a)" in said
    assert f"`clipneuron failures {run.url}` lists all" in said


def test_causes_are_counted_without_names_numbers_and_details():
    found = causes(
        [
            Failure("x/1.png", "corrupt", "x/1.png: OSError: broken at 17 (b'a')"),
            Failure("y/2.png", "corrupt", "2.png: OSError: broken at 4 (b'c')"),
            *(Failure(f"{n}", f"s{n}", "why") for n in range(4)),
        ]
    )
    assert [cause.times for cause in found] == [2, 1, 1, 1, 1]
    assert summary(found).endswith("1 s1 (1: why); 2 for other reasons")
