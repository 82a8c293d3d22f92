"""What a run took: measured by both engines, added up from the commits, priced, and set beside what was foretold."""

import doctest
import io
import json

import pytest
from rich.console import Console

from clipneuron.cli import main
from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster import metrics
from clipneuron.engine.pipeline import Pipeline
from clipneuron.engine.ray_data import RayData
from clipneuron.engine.runner import RunIncompleteError, Runner
from clipneuron.operations.usage import prices
from clipneuron.operations.usage.accounts import Amounts, RunUsage, StageUsage, usage_of
from clipneuron.operations.usage.forecasts import Foretold, record
from clipneuron.operations.usage.prices import Prices
from clipneuron.store.records import Usage
from clipneuron.store.store import Store
from tests.engine.fakes import Fake
from tests.faults.light import Light

QUIET = Console(file=io.StringIO())


class Pictures(Light):
    """The same, where a row is a picture."""

    unit = "images"


def run_in(folder, name="demo"):
    return Store(folder / "store").open_run(name, {"model": name})


def carried_out(folder, stage=None, runner=None):
    run = run_in(folder)
    Pipeline((stage or Pictures(4),)).run(runner or Runner(console=QUIET), run)
    return run


def test_every_commit_says_what_it_took_and_the_run_is_their_sum(tmp_path):
    run = carried_out(tmp_path)
    (stage,) = usage_of(run).stages
    commits = run.committed("light").values()
    assert (stage.amounts.shards, stage.amounts.rows, stage.unit) == (4, 12, "images")
    assert stage.amounts.size == sum(stored.size for each in commits for stored in each.objects)
    assert stage.amounts.writes == 4 * 3, "an object, its marker and the record of the attempt"
    assert all(each.usage.write > 0 and each.usage.process > 0 for each in commits)
    assert stage.amounts.core_seconds == pytest.approx(sum(c.usage.core_seconds for c in commits))
    assert stage.amounts.cpu_seconds > 0
    assert stage.amounts.gpu_seconds == 0
    assert usage_of(run).pictures == 12


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_cluster_measures_too_and_tells_its_metrics(tmp_path, monkeypatch):
    told: list[tuple[str, float, dict[str, str]]] = []
    for kind in (metrics.Counter, metrics.Histogram):
        name = "inc" if kind is metrics.Counter else "observe"
        method = getattr(kind, name)

        def recording(self, value, tags=None, method=method):
            told.append((self.info["name"], value, tags))
            return method(self, value, tags)

        monkeypatch.setattr(kind, name, recording)
    options = ClusterOptions(actors=1, actor_cpus=1)
    run = carried_out(tmp_path, runner=Runner(RayData(options, QUIET), console=QUIET))
    (stage,) = usage_of(run).stages
    assert stage.amounts.core_seconds >= stage.amounts.process + stage.amounts.load > 0
    assert stage.amounts.unmeasured == 0

    def total(name):
        return sum(value for metric, value, _ in told if metric == name)

    assert total("clipneuron_pictures") == 12
    assert total("clipneuron_shards") == 4
    assert total("clipneuron_bytes_written") == stage.amounts.size
    waits = [metric for metric, _, _ in told if metric.endswith("_wait")]
    assert len(waits) == 4, "of each shard and its process, one waited for the other"
    assert len([metric for metric, _, _ in told if metric == "clipneuron_commit"]) == 4
    assert {tuple(tags.values()) for _, _, tags in told} == {(run.name, "light")}


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_failed_attempts_are_told_as_retries_and_the_last_one_as_a_shard_given_up(
    tmp_path, monkeypatch
):
    told: dict[str, float] = {}
    inc = metrics.Counter.inc

    def recording(self, value=1.0, tags=None):
        told[self.info["name"]] = told.get(self.info["name"], 0) + value
        inc(self, value, tags)

    monkeypatch.setattr(metrics.Counter, "inc", recording)
    executor = RayData(ClusterOptions(actors=1, actor_cpus=1), QUIET, attempts=2)
    with pytest.raises(RunIncompleteError):
        Runner(executor, attempts=2, console=QUIET).run_stage(
            Fake(breaks={"b": 9}), run_in(tmp_path)
        )
    assert told["clipneuron_retries"] == told["clipneuron_quarantined"] == 1
    assert told["clipneuron_shards"] == 2


def test_prices_are_those_that_are_given(tmp_path, capsys):
    run = carried_out(tmp_path)
    total = usage_of(run).total
    asked = ["--core-hour", "36", "--thousand-writes", "1000", "--gb-month", "2"]
    assert main(["usage", run.url, "--json", *asked]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cost"] == pytest.approx(total.core_seconds / 100 + 12)
    assert told["cost_per_million_pictures"] == pytest.approx(told["cost"] / 12 * 1e6)
    assert told["cost_a_month"] == pytest.approx(total.size * 2e-9)
    assert told["stages"][0]["cost"] == pytest.approx(told["cost"])
    assert main(["usage", "--store", str(tmp_path / "store"), "--json"]) == 0
    unpriced = json.loads(capsys.readouterr().out)
    assert unpriced["cost"] is unpriced["cost_per_million_pictures"] is None
    assert doctest.testmod(prices).attempted > 0
    assert Prices().work(total) == 0


@pytest.mark.parametrize("wrong", ["-1", "nan", "inf", "cheap"])
def test_a_price_that_is_none_is_refused(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["usage", "store/run", "--gpu-hour", wrong])
    assert wrong in capsys.readouterr().err


def test_what_was_foretold_stands_beside_what_it_took(tmp_path, capsys):
    run = carried_out(tmp_path)
    assert usage_of(run).stages[0].foretold is None
    record(run, {"light": Foretold(rows=13, seconds=75, size=2_000_000)})
    assert usage_of(run).stages[0].foretold.rows == 13
    assert main(["usage", run.url, "--core-hour", "1"]) == 0
    out = capsys.readouterr().out
    assert "Foretold by `plan`" in out
    assert "13 / 12" in out
    assert "1 m 15 s" in out
    assert "per million pictures (12 here)" in out
    assert "not counted: failed attempts" in out


class Reading(Pictures):
    """A stage that reads what another one has committed."""

    kind = name = "reading"

    def loader(self, run):
        self.run.append(run)
        return self

    @property
    def run(self):
        return self.__dict__.setdefault("runs", [])

    def load(self, shard):
        self.run[0].read("light", "text_embeddings", shards=[shard.name])
        return super().load(shard)


def test_bytes_that_a_stage_read_are_shown_beside_what_was_foretold(tmp_path, capsys):
    run = carried_out(tmp_path)
    Pipeline((Reading(4),)).run(Runner(console=QUIET), run)
    record(run, {"reading": Foretold(rows=12, seconds=1, size=1, bytes_read=777, reads=9)})
    second, first = usage_of(run).stages  # the order last asked for comes first
    assert first.amounts.uncounted == second.amounts.uncounted == 0
    written = first.amounts.size
    assert second.amounts.bytes_read - first.amounts.bytes_read >= written
    assert second.amounts.reads - first.amounts.reads >= 8, "a marker and an object of each shard"
    assert main(["usage", run.url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes_read"] == first.amounts.bytes_read + second.amounts.bytes_read
    assert main(["usage", run.url]) == 0
    out = capsys.readouterr().out
    assert "777 B / " in out
    assert f"9 / {second.amounts.reads:,}" in out
    assert f"- / {second.amounts.writes:,}" in out


def test_a_damaged_forecast_is_none(tmp_path):
    run = carried_out(tmp_path)
    record(run, {"light": Foretold(rows=13, seconds=75, size=0)})
    path = tmp_path / "store" / run.name / "reports" / "forecast.json"
    path.write_text(path.read_text().replace("13", "14"))
    assert usage_of(run).stages[0].foretold is None


def test_commits_of_older_versions_count_without_their_time(tmp_path, capsys):
    run = run_in(tmp_path)
    run.commit("effects", "00000", {}, timings={"process": 3.0})
    run.commit("effects", "00001", {}, usage=Usage(load=1.5))
    total = usage_of(run).total
    assert (total.unmeasured, total.uncounted, total.writes) == (1, 2, 4)
    assert not total.is_counted
    assert main(["usage", run.url]) == 0
    out = capsys.readouterr().out
    assert "1 shard was committed by a version that did not measure" in out
    assert "2 shards were committed by a version that did not count what it read" in out


def test_a_damaged_marker_is_named_and_the_rest_is_counted(tmp_path, capsys):
    run = carried_out(tmp_path)
    marker = tmp_path / "store" / run.name / "commits" / "light" / "0001.json"
    marker.write_text("{}")
    assert main(["usage", run.url]) == 1
    out = capsys.readouterr().out
    assert "0001.json" in out
    assert usage_of(run).total.shards == 3
    assert main(["usage", run.url, "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)
    assert "0001.json" in said.err


def test_pictures_of_a_run_are_those_that_were_swept():
    stages = [
        StageUsage(name, kind, "images", Amounts(rows=rows))
        for name, kind, rows in (("effects", "effects", 10), ("concepts-a", "concepts", 1000))
    ]
    assert RunUsage("demo-1", tuple(stages)).pictures == 10
    assert RunUsage("demo-1", tuple(stages[1:])).pictures == 1000
