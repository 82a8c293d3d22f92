"""The stages of an attack in the demo world, end to end; engine/test_stage_contract.py has what all are held to."""

from functools import cache

import numpy as np
import pytest

from clipneuron.engine.stage import Stage
from clipneuron.models.clip.model import Clip, load_clip
from clipneuron.models.language.naming import names as named
from clipneuron.store.store import Run
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


def test_experiments_without_captions_are_committed_empty(tmp_path):
    run = run_with_words(tmp_path, lambda pair: [])
    stages = line()
    quiet_runner(max_failed_share=1.0).run(stages, run)
    for stage in stages:
        for shard in stage.shards(run):
            told: list[int] = []
            stage.build(stage.share(run)).process(stage.loader(run).load(shard), told.append)
            assert sum(told) == shard.rows
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
