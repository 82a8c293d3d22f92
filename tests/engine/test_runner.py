"""The in-process engine: nothing is done twice, a failing shard is a record, and too many bad rows stop a run."""

import io
import re
from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from rich.console import Console

from clipneuron.engine.progress import meter
from clipneuron.engine.runner import InProcessRunner, RunIncompleteError
from clipneuron.stage import Output, Resources, Shard
from clipneuron.storage import tables
from clipneuron.storage.store import Failure, Store


@dataclass
class Fake:
    """Three shards of two texts each; `breaks` says how often a shard fails before it works."""

    breaks: dict[str, int] = field(default_factory=dict)
    bad_rows: int = 0
    loads_break: bool = False
    name: str = "fake"
    log: list[str] = field(default_factory=list)

    reads = ()
    writes = ("text_embeddings",)
    unit = "texts"
    resources = Resources()

    def shards(self, run):
        return [Shard(name, 2, name) for name in ("a", "b", "c")]

    def build(self, run):
        self.log.append("build")
        return self

    def load(self, shard):
        if self.loads_break and self._breaks(shard.name):
            raise OSError("cannot read")
        return shard.payload

    def process(self, loaded, advance):
        self.log.append(loaded)
        if not self.loads_break and self._breaks(loaded):
            raise ValueError(f"{loaded} is broken")
        advance(2)
        columns = {"text_index": [0, 1], "text": [loaded] * 2, "embedding": [[0.0]] * 2}
        failures = tuple(Failure(loaded, "unreadable", "no reason") for _ in range(self.bad_rows))
        table = pa.table(columns, schema=tables.schema("text_embeddings"))
        return Output({"text_embeddings": table}, failures)

    def _breaks(self, name):
        self.breaks[name] = self.breaks.get(name, 0) - 1
        return self.breaks[name] >= 0


@pytest.fixture
def run(tmp_path):
    return Store(tmp_path).open_run("fake", {})


def runner(**options) -> InProcessRunner:
    return InProcessRunner(console=Console(file=io.StringIO()), **options)


def test_a_complete_stage_is_not_even_built_again(run):
    first, again = Fake(), Fake()
    report = runner().run_stage(first, run)
    assert (report.done_now, report.rows_now, report.shards) == (3, 6, 3)
    objects = sorted(run.objects.list(""))
    report = runner().run_stage(again, run)
    assert again.log == []
    assert report.done_now == 0
    assert sorted(run.objects.list("")) == objects


def test_only_what_is_missing_is_done(run):
    with pytest.raises(RunIncompleteError, match=r"1 shards could not be done \(b\)"):
        runner().run_stage(Fake(breaks={"b": 99}), run)
    assert list(run.committed("fake")) == ["a", "c"]
    again = Fake()
    runner().run_stage(again, run)
    assert again.log == ["build", "b"]
    assert list(run.committed("fake")) == ["a", "b", "c"]


@pytest.mark.parametrize("loads_break", [False, True])
def test_a_shard_gets_its_bounded_attempts(run, loads_break):
    stage = Fake(breaks={"b": 1}, loads_break=loads_break)
    runner(attempts=2).run_stage(stage, run)
    assert list(run.committed("fake")) == ["a", "b", "c"]
    (failure,) = run.failures("fake")["b"]
    assert ("cannot read" if loads_break else "b is broken") in failure.model_dump_json()


def test_too_many_bad_rows_stop_the_run_after_committing_them(run):
    with pytest.raises(RunIncompleteError, match="3 of 6 texts could not be used"):
        runner(max_failed_share=0.4).run_stage(Fake(bad_rows=1), run)
    assert len(run.committed("fake")) == 3
    assert runner(max_failed_share=0.6).run_stage(Fake(), run).failed_rows == 3


def test_progress_is_lines_off_a_terminal_and_a_bar_on_one(monkeypatch):
    monkeypatch.setattr("clipneuron.engine.progress.SECONDS_BETWEEN_LINES", 0.0)
    out = io.StringIO()
    with meter(Console(file=out, width=100), "effects", 100, 20, "images") as bar:
        bar.advance(30)
    assert re.search(r"effects: 50/100 images, [\d,.]+ images/s, \d+ s left", out.getvalue())
    assert re.search(r"effects: 30 images in [\d,.]+ s", out.getvalue())
    out = io.StringIO()
    with meter(
        Console(file=out, width=100, force_terminal=True), "effects", 100, 20, "images"
    ) as bar:
        bar.advance(80)
    assert "100/100" in out.getvalue()
