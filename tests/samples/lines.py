"""Every line of work, small: its run and all of its stages, for tests that are about stages as such."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from clipneuron.attack.pipeline import AttackLine
from clipneuron.config.named import named_recipe
from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Stage
from clipneuron.explanation.inputs import ClipWitness
from clipneuron.models.clip.model import load_clip
from clipneuron.readers.sweep import Planned
from clipneuron.store import records
from clipneuron.store.store import Run, Store
from clipneuron.sweep.results import SweepResults
from clipneuron.sweep.stages.merge import MergeTree
from tests.samples.atlas_world import atlas_of, attacked, classed, swept
from tests.samples.attack_world import (
    captions_stage,
    classifier_stage,
    pictures_stage,
    run_with_words,
    screening_stage,
    verdicts_stage,
)
from tests.samples.conceived import concepts_of
from tests.samples.explained import PAINTED, Tints, line_of
from tests.samples.segmented import line_of as segmentation_of
from tests.samples.towers import tiny_clip
from tests.samples.world import clip, reproduction_of

Line = Callable[[Path, str, Runner], tuple[Run, list[Stage]]]
"""Does its work in the store of this name in the folder by the runner."""

DEMO = {"limit": 8, "top": 4, "layers": (4,), "atoms": 8, "evaluation": {"indirect_images": 3}}
ATTACK = {"pairs": ("dog:deer",), "methods": ("second-order", "indirect"), "repeats": 1}
ATTACK |= {"captions": 6, "chosen": 2, "each": 2, "words": 6}


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


def production(folder: Path, store: str, by: Runner) -> tuple[Run, list[Stage]]:
    """The pictures of an attack with the tiny world's model, from words that are there already."""
    line = [captions_stage(), classifier_stage(), pictures_stage(), verdicts_stage()]
    line.append(screening_stage())
    run = run_with_words(folder / store)
    by.run(line, run)
    return run, line


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


def atlas(folder: Path, store: str, by: Runner) -> tuple[Run, list[Stage]]:
    """The pages of the tiny world's neurons, and of an attack that is stated; all attempts have one name.

    Pages say which objects their numbers come from, and these are named after attempts.
    """
    with patch.object(records, "new_attempt", lambda: "a" * 16):
        run, recipe = swept(folder, store)
        classed(run)
        attacked(run, run.results(SweepResults)[0])
        line = atlas_of(run, recipe, folder, store)
        line.bring(by)
    return run, list(line.stages().all)


LINES: tuple[Line, ...] = (evidence, attack, production, explanation, segmentation, concepts, atlas)
