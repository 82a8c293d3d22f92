"""The contract of test_contract.py, held by the stages of the attack; and the demo world's own, end to end."""

import pickle
from functools import cache

import numpy as np
import pytest

from clipneuron.engine.stage import Stage
from clipneuron.models.clip.model import Clip, load_clip
from clipneuron.models.language.naming import names as named
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables
from tests.samples.attack_world import (
    CHOSEN,
    EACH,
    METHODS,
    PAIRS,
    REPEATS,
    captions_stage,
    classifier_stage,
    cues_of,
    pictures_stage,
    run_with_words,
    screening_stage,
    verdicts_stage,
)
from tests.samples.world import quiet_runner

pytestmark = pytest.mark.slow

NAMES = ("captions", "pictures", "verdicts", "screening")


@cache
def demo() -> Clip:
    return load_clip("demo", device="cpu")


def line(**options: object) -> list[Stage]:
    return [
        captions_stage(**options),
        classifier_stage(demo),
        pictures_stage(),
        verdicts_stage(demo),
        screening_stage(),
    ]


@pytest.fixture(scope="module")
def run_and_stages(tmp_path_factory) -> tuple[Run, dict[str, Stage]]:
    run = run_with_words(tmp_path_factory.mktemp("attack"))
    stages = line()
    quiet_runner().run(stages, run)
    return run, {stage.name: stage for stage in stages}


@pytest.mark.parametrize("name", NAMES)
def test_tables_follow_their_declared_schema(run_and_stages, name):
    run, stages = run_and_stages
    commits = run.committed(name)
    assert sorted(commits) == sorted(shard.name for shard in stages[name].shards(run))
    for table in stages[name].writes:
        assert tables.conform(table, run.read(name, table)).num_rows > 0
        assert {(f.name, f.type) for f in run.read(name, table).schema} == {
            (f.name, f.type) for f in tables.schema(table)
        }


@pytest.mark.parametrize("name", NAMES)
def test_the_same_shard_twice_gives_equal_tables(run_and_stages, name):
    run, stages = run_and_stages
    for shard in list(stages[name].shards(run))[:2]:
        worker = stages[name].build(stages[name].share(run))
        output = worker.process(stages[name].loader(run).load(shard), lambda rows: None)
        assert set(output.tables) == set(stages[name].writes)
        for table, rows in output.tables.items():
            assert rows.equals(run.read(name, table, shards=[shard.name])), (name, table)


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_its_shards_and_what_they_are_made_of_travel(run_and_stages, name):
    run, stages = run_and_stages
    stage = pickle.loads(pickle.dumps(stages[name]))
    shards = pickle.loads(pickle.dumps(list(stage.shards(run))))
    assert shards == list(stages[name].shards(run))
    loader = pickle.loads(pickle.dumps(stage.loader(run)))
    loaded = pickle.loads(pickle.dumps(loader.load(shards[0])))
    output = stage.build(stage.share(run)).process(loaded, lambda rows: None)
    [table] = stage.writes
    assert output.tables[table].equals(run.read(name, table, shards=[shards[0].name]))


@pytest.mark.parametrize("name", NAMES)
def test_progress_counts_every_row_once(run_and_stages, name):
    run, stages = run_and_stages
    assert_counted_once(stages[name], run)


def assert_counted_once(stage: Stage, run: Run) -> None:
    for shard in stage.shards(run):
        counted: list[int] = []
        worker = stage.build(stage.share(run))
        worker.process(stage.loader(run).load(shard), counted.append)
        assert sum(counted) == shard.rows


def test_experiments_without_captions_are_committed_empty(tmp_path):
    run = run_with_words(tmp_path, lambda pair: [])
    stages = line()
    quiet_runner(max_failed_share=1.0).run(stages, run)
    for stage in stages:
        assert_counted_once(stage, run)
    for name in NAMES:
        assert run.read(name, name).num_rows == 0
        assert len(run.done(name)) in (len(PAIRS), len(PAIRS) * len(METHODS) * REPEATS)
    failures = [commit.failures for commit in run.committed("captions").values()]
    assert [len(found) for found in failures] == [len(METHODS) * REPEATS] * len(PAIRS)


def test_every_picture_can_be_followed_back_to_its_words(run_and_stages):
    run, _ = run_and_stages
    rows = {name: run.read(name, name).to_pylist() for name in NAMES}
    captions = {
        (row["pair"], row["method"], row["repeat"], row["number"]): row for row in rows["captions"]
    }
    verdicts = {row["picture"]: row for row in rows["verdicts"]}
    assert len(verdicts) == len(rows["pictures"]) == len(PAIRS) * 4 * CHOSEN * EACH
    cues = {":".join(pair): cues_of(pair) for pair in PAIRS}
    for picture in rows["pictures"]:
        key = picture["pair"], picture["method"], picture["repeat"], picture["number"]
        caption = captions[key]
        assert caption["caption"] == picture["caption"]
        assert caption["chosen"]
        assert set(caption["words"]) <= set(cues[picture["pair"]]) - {"unheard"}
        assert caption["words"]
        assert all(named(picture["caption"], word) for word in caption["words"])
        assert verdicts[picture["picture"]]["status"] == "ok"
    assert {(row["shows_c1"], row["shows_c2"]) for row in rows["screening"]} == {(True, False)}


def test_the_cues_of_another_class_draw_the_model_towards_it(run_and_stages, tmp_path):
    run, _ = run_and_stages
    alone = run_with_words(tmp_path, lambda pair: ["unheard"])
    quiet_runner().run(line(), alone)
    for pair in PAIRS:
        own = [("pair", "==", ":".join(pair))]
        with_cues, without = (
            np.array(each.read("verdicts", "verdicts", filters=own)["margin"].to_pylist())
            for each in (run, alone)
        )
        assert without.mean() < 0
        assert with_cues.mean() > without.mean() + 0.1
