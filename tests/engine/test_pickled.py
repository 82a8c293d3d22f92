"""Every stage of every line does the same on the far side of the cluster's pickles, bit for bit.

Which of them a real cluster runs as well is in test_ray_data.py: a sweep and a line of production.
"""

import io

import numpy as np
import pytest
from rich.console import Console

from clipneuron.engine.runner import RunIncompleteError, Runner
from clipneuron.store.store import Store
from tests.engine.fakes import Fake, tables_of
from tests.engine.pickled import Packed, Pickled
from tests.samples.attack_world import (
    captions_stage,
    classifier_stage,
    pictures_stage,
    run_with_words,
    screening_stage,
    verdicts_stage,
)
from tests.samples.world import quiet_runner, reproduction_of


def runner(**limits: object) -> Runner:
    return Runner(Pickled(), console=Console(file=io.StringIO()), **limits)


def test_a_sweep_and_the_evidence_give_the_same_bytes(tmp_path):
    here, _ = reproduction_of(tmp_path, "here").run(quiet_runner())
    there, reports = reproduction_of(tmp_path, "there").run(runner())
    assert tables_of(there) == tables_of(here)
    shared = 2  # one of the pools is the sweep's: its texts and descriptions are done already
    assert len(reports) == len(tables_of(there)) + shared
    assert there.verify() == []


def test_a_line_of_production_gives_the_same_bytes(tmp_path):
    line = [captions_stage(), classifier_stage(), pictures_stage(), verdicts_stage()]
    line.append(screening_stage())
    here, there = run_with_words(tmp_path / "here"), run_with_words(tmp_path / "there")
    quiet_runner().run(line, here)
    runner().run(line, there)
    assert tables_of(there) == tables_of(here)


def test_a_stage_that_cannot_be_pickled_is_noticed(tmp_path):
    stage = Fake()
    stage.console = Console()  # it holds a lock
    run = Store(tmp_path).open_run("fake", {})
    with pytest.raises(TypeError, match="pickle"):
        runner().run_stage(stage, run)


def test_what_a_worker_does_to_its_stage_is_not_seen_here(tmp_path):
    stage = Fake()
    run = Store(tmp_path).open_run("fake", {})
    runner().run_stage(stage, run)
    assert sorted(run.done("fake")) == ["a", "b", "c"]
    assert stage.log == []


def test_a_shard_that_fails_is_a_record(tmp_path):
    run = Store(tmp_path).open_run("fake", {})
    with pytest.raises(RunIncompleteError, match="ValueError: b is broken"):
        runner(attempts=2).run_stage(Fake(breaks={"b": 99}), run)
    assert list(run.committed("fake")) == ["a", "c"]


def test_arrays_arrive_as_from_an_object_store():
    arrived = Packed.of({"array": np.arange(9.0)}).value()["array"]
    assert arrived.tolist() == list(range(9))
    with pytest.raises(ValueError, match="read-only"):
        arrived[0] = 1.0
