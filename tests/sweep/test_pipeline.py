"""Making a pipeline asks the store a few times, however many stages it has; a run records what holds its results."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipneuron.attack.pipeline import AttackLine
from clipneuron.data.collections import Picture
from clipneuron.engine.stage import Named
from clipneuron.evidence.results import EvidenceResults
from clipneuron.models.clip.model import load_clip
from clipneuron.readers.lenses import Lenses
from clipneuron.readers.pictures import Batch
from clipneuron.readers.sweep import Planned
from clipneuron.store.objects.opening import open_objects
from clipneuron.sweep.results import SweepResults
from clipneuron.sweep.stages.calibrate import CalibrateStage
from tests.samples.towers import tiny_clip
from tests.samples.world import clip, quiet_runner, recipe_of, reproduction_of, store_in, sweep_of

pytestmark = pytest.mark.slow

ATTACK = {"pairs": ("cat:dog", "dog:sea"), "classes": "", "sentences": "clip", "painter": "demo"}


class Counted:
    """Objects that list the calls of whoever uses them."""

    def __init__(self, inner: Any, calls: list[str]) -> None:
        self.inner, self.calls = inner, calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name == "under":
            return lambda folder: Counted(found(folder), self.calls)
        if not callable(found):
            return found

        def call(*words: Any, **more: Any) -> Any:
            self.calls.append(name)
            return found(*words, **more)

        return call


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(open_objects(str(tmp_path / "store")), [])


def attack_of(folder: Path, store: Any) -> AttackLine:
    (folder / "classes.txt").write_text("cat\ndog\nsea")
    asked = {**ATTACK, "classes": str(folder / "classes.txt"), "captioner": "demo"}
    return AttackLine.of(recipe_of(folder, attack=asked), store_in(folder, store), clip())


def test_making_a_pipeline_costs_one_reading_of_the_plan(tmp_path, counted) -> None:
    sweep = sweep_of(tmp_path, counted)
    run, _, _ = sweep.planned(quiet_runner())
    costs = {}
    lines = {
        "sweep": sweep,
        "evidence": reproduction_of(tmp_path, counted),
        "attack": attack_of(tmp_path, counted),
    }
    for name, line in lines.items():
        counted.calls.clear()
        pipeline = sweep.pipeline(line.stages(Planned.of(run)).all)
        costs[name] = list(counted.calls)
        assert len(pipeline.stages) >= 6
    assert costs["sweep"] == costs["evidence"] == costs["attack"]
    assert len(costs["sweep"]) <= 6, costs


@pytest.mark.slow
def test_the_results_of_each_line_are_on_record(tmp_path) -> None:
    sweep = sweep_of(tmp_path)
    run, _ = sweep.run(quiet_runner())
    (found,) = run.results(SweepResults)
    assert found == sweep.results(run)
    assert found.layers == sweep.layers
    assert {found.directions, found.descriptions} < set(run.stages())
    assert run.results(EvidenceResults) == []
    reproduction = reproduction_of(tmp_path)
    reproduction.run(quiet_runner())
    (evidence,) = run.results(EvidenceResults)
    assert evidence == reproduction.results(run)
    assert set(evidence.predictions) < set(run.stages())
    assert run.results(SweepResults) == [found]


def test_a_repeated_command_records_nothing_anew(tmp_path) -> None:
    run, _ = sweep_of(tmp_path).run(quiet_runner())
    before = list(run.objects.entries(""))
    sweep_of(tmp_path).run(quiet_runner())
    assert [entry for entry in run.objects.entries("") if entry not in before] == []


def test_a_collection_that_has_grown_gets_other_names_for_what_depends_on_all_of_it(
    tmp_path,
) -> None:
    first = sweep_of(tmp_path, limit=10)
    run, _ = first.run(quiet_runner())
    before = set(run.stages())
    sweep_of(tmp_path, extends=run.name).run(quiet_runner())
    added = set(run.stages()) - before
    assert added == {run.stage("directions"), run.stage("descriptions")}
    newest, oldest = run.results(SweepResults)
    assert (newest.directions, oldest.directions) == (run.stage("directions"), "directions")


def test_pictures_that_overflow_in_float16_are_told_before_means_are_kept() -> None:
    network = tiny_clip(layers=3, width=16, embed=12)
    with torch.no_grad():
        mlp = network.visual.transformer.resblocks[0].mlp
        mlp.c_fc.weight.mul_(1e3)
        mlp.c_proj.weight.mul_(1e3)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    pictures = tuple(Picture(n, str(n), None, None, "", None, None, None) for n in range(2))
    loaded = Batch(pictures, pictures, pixels, ())
    for dtype in (torch.float32, torch.float16):
        loader = partial(load_clip, network, dtype=dtype)
        lenses = Lenses((0, 1), "equal", True)
        worker = CalibrateStage(loader, None, lenses, 2, Named("plan")).build(None)
        if dtype == torch.float32:
            assert worker.process(loaded, lambda rows: None).tables["means"].num_rows
            continue
        with pytest.raises(ValueError, match="not finite on some picture: float16 ends at 65,504"):
            worker.process(loaded, lambda rows: None)
