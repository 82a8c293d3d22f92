"""Every stage of every line does the same on the far side of the cluster's pickles, bit for bit.

Which of them a real cluster runs as well is in test_ray_data.py: a sweep and a line of production.
"""

import io
import threading
from dataclasses import replace
from importlib import import_module
from inspect import isclass
from pathlib import Path
from pkgutil import iter_modules
from unittest.mock import patch

import numpy as np
import pytest
from rich.console import Console

import clipneuron.atlas.stages
import clipneuron.attack.stages
import clipneuron.concepts.stages
import clipneuron.evidence.stages
import clipneuron.explanation.stages
import clipneuron.segmentation.stages
import clipneuron.sweep.stages
from clipneuron.attack.pipeline import AttackLine
from clipneuron.config.named import named_recipe
from clipneuron.engine.runner import RunIncompleteError, Runner
from clipneuron.engine.stage import Named, Stage
from clipneuron.explanation.inputs import ClipWitness
from clipneuron.models.clip.model import load_clip
from clipneuron.readers.sweep import Planned
from clipneuron.store import records
from clipneuron.store.store import Run, Store
from clipneuron.sweep.results import SweepResults
from clipneuron.sweep.stages.merge import MergeTree
from tests.engine.fakes import Fake, tables_of
from tests.engine.pickled import Packed, Pickled
from tests.samples.atlas_world import atlas_of, attacked, swept
from tests.samples.conceived import concepts_of
from tests.samples.explained import PAINTED, Tints, line_of
from tests.samples.segmented import line_of as segmentation_of
from tests.samples.towers import tiny_clip
from tests.samples.world import clip, quiet_runner, reproduction_of

PACKAGES = (
    clipneuron.sweep.stages,
    clipneuron.evidence.stages,
    clipneuron.attack.stages,
    clipneuron.explanation.stages,
    clipneuron.segmentation.stages,
    clipneuron.concepts.stages,
    clipneuron.atlas.stages,
)
CLASSES = {
    cls
    for package in PACKAGES
    for module in iter_modules(package.__path__, f"{package.__name__}.")
    for cls in vars(import_module(module.name)).values()
    if isclass(cls) and issubclass(cls, Stage) and cls.__module__ == module.name
}
DEMO = {"limit": 24, "top": 4, "layers": (3, 4), "atoms": 8}
ATTACK = {"pairs": ("dog:deer",), "methods": ("second-order", "indirect"), "repeats": 1}
ATTACK |= {"captions": 6, "chosen": 2, "each": 2, "words": 6}


def runner(**limits: object) -> Runner:
    return Runner(Pickled(), console=Console(file=io.StringIO()), **limits)


def evidence(folder: Path, store: str, by: Runner) -> tuple[Run, list[Stage]]:
    """The evidence of the tiny world, and a merge by levels."""
    reproduction = reproduction_of(folder, store)
    run, _ = reproduction.run(by)
    planned = Planned.of(run)
    stages, layers = reproduction.stages(planned), reproduction.sweep.layers
    shape = {"block": 24, "fan_in": 2}
    tree = MergeTree.over(stages.swept.effects, planned.shards, layers, clip().neurons, **shape)
    by.run(tree.levels, run)
    return run, [*stages.all, *tree.levels]


def attack(folder: Path, store: str, by: Runner) -> tuple[Run, list[Stage]]:
    """A sweep and an attack of the demo world."""
    line = AttackLine.of(named_recipe("demo", {**DEMO, "attack": ATTACK}), Store(folder / store))
    run, _ = line.run(by)
    return run, line.stages(Planned.of(run)).all


def explanation(folder: Path, store: str, by: Runner) -> tuple[Run, list[Stage]]:
    """The truth of words of the tiny world, by labels and by another CLIP."""
    line = replace(line_of(folder, store, asked=PAINTED), painter=Tints())
    other = load_clip(tiny_clip(layers=2, width=16, embed=8, image_size=16, patch_size=8))
    stages: list[Stage] = []
    for witness in (line.witness, ClipWitness("other", other)):
        own = replace(line, witness=witness)
        run, _ = own.run(by)
        stages += own.stages(Planned.of(run)).all
    return run, stages


def segmentation(folder: Path, store: str, by: Runner) -> tuple[Run, list[Stage]]:
    """The matrix of the tiny world's masks."""
    line = segmentation_of(folder, store)
    run, _ = line.run(replace(by, max_failed_share=0.5))
    return run, line.stages(Planned.of(run)).all


def concepts(folder: Path, store: str, by: Runner) -> tuple[Run, list[Stage]]:
    """What the tiny world's pictures show."""
    line = concepts_of(folder, store)
    run, _ = line.run(by)
    return run, line.stages(Planned.of(run)).all


def atlas(folder: Path, store: str, by: Runner) -> tuple[Run, list[Stage | Named]]:
    """The pages of the tiny world's neurons, and of an attack that is stated; all attempts have one name.

    Pages say which objects their numbers come from, and these are named after attempts.
    """
    with patch.object(records, "new_attempt", lambda: "a" * 16):
        run, recipe = swept(folder, store)
        attacked(run, run.results(SweepResults)[0])
        line = atlas_of(run, recipe, folder, store)
        line.bring(by)
    stated = [Named(name) for name in run.stages() if name.startswith("attack-")]
    return run, [*line.stages().swept.all, *line.stages().all, *stated]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Run, Run, list[Stage]]]:
    """Of each line: its run without and with pickles, and the stages."""
    found = []
    for line in (evidence, attack, explanation, segmentation, concepts, atlas):
        folder = tmp_path_factory.mktemp(line.__name__)
        here, stages = line(folder, "here", quiet_runner())
        found.append((here, line(folder, "there", runner())[0], stages))
    return found


@pytest.mark.slow
def test_no_stage_is_missing_here(lines):
    assert {type(stage) for _, _, stages in lines for stage in stages} >= CLASSES


@pytest.mark.slow
def test_every_stage_gives_the_same_bytes(lines):
    for here, there, stages in lines:
        assert tables_of(there) == tables_of(here)
        assert {stage.name for stage in stages} == set(there.stages())
        assert there.verify() == []


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
