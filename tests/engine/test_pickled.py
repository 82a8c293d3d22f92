"""The executor that pickles as a cluster does notices what a cluster would (all stages: test_stage_contract.py)."""

import io
import threading

import numpy as np
import pytest
from rich.console import Console

from clipneuron.engine.runner import RunIncompleteError, Runner
from clipneuron.store.store import Store
from tests.engine.fakes import Fake
from tests.engine.pickled import Packed, Pickled


def runner(**limits: object) -> Runner:
    return Runner(Pickled(), console=Console(file=io.StringIO()), **limits)


def test_a_stage_that_cannot_be_pickled_is_noticed(tmp_path):
    stage = Fake()
    stage.lock = threading.Lock()
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
