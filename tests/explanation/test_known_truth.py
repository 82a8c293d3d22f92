"""On a tower whose words are known, the found words score near their bound, and others' fall to the control."""

from pathlib import Path

import numpy as np
import pytest

from clipneuron.config.explanation import Explanation
from clipneuron.data.text_pools import open_pool
from clipneuron.explanation.figures import Figures
from clipneuron.explanation.pipeline import ExplanationLine
from tests.samples.planted import PlantedWorld, planted_world, swept, write_collection
from tests.samples.world import quiet_runner

pytestmark = pytest.mark.slow

KINDS = ("single", "pair", "against", "several")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlantedWorld, Figures]:
    """A world, and the scores of the words of its neurons on pictures that were not swept."""
    folder: Path = tmp_path_factory.mktemp("known")
    world = planted_world(open_pool("words-300").texts)
    sweep, _, _ = swept(world, folder, 280)
    write_collection(world, folder / "held out" / "1.parquet", 280, seed=1)
    asked = Explanation(
        images=str(folder / "held out"), tag_column="tags", share=0.1, templates="demo"
    )
    recipe = sweep.recipe.model_copy(update={"explanation": asked})
    line = ExplanationLine.of(recipe, sweep.store, world.clip)
    run, _ = line.run(quiet_runner())
    return world, Figures(run, line.results(run))


def mean(scored: tuple[PlantedWorld, Figures], kind: str, describer: str, metric: str) -> float:
    world, figures = scored
    own = [number for number, plan in enumerate(world.planted) if plan.kind == kind]
    return float(np.nanmean(figures.values(0, describer, metric)[own]))


@pytest.mark.parametrize("kind", KINDS)
def test_found_words_score_near_their_bound_and_above_the_control(scored, kind) -> None:
    own, bound = (mean(scored, kind, name, "correlation") for name in ("pursuit", "best-word"))
    assert own > 0.8 * bound > 0.4
    for control in ("other-neuron", "random"):
        assert abs(mean(scored, kind, control, "correlation")) < 0.15


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", ["auprc", "f1", "iou"])
def test_scores_word_by_word_are_above_the_control(scored, kind, metric) -> None:
    """Not so near the bound: words that a neuron writes against are no claim about when it acts, and dilute these."""
    own, bound = (mean(scored, kind, name, metric) for name in ("pursuit", "best-word"))
    assert own > 0.5 * bound
    for control in ("other-neuron", "random"):
        assert own > 2 * mean(scored, kind, control, metric)


@pytest.mark.parametrize("kind", KINDS)
def test_found_words_tell_which_logits_move(scored, kind) -> None:
    own = mean(scored, kind, "pursuit", "rank_correlation")
    assert own > 0.5
    assert abs(mean(scored, kind, "other-neuron", "rank_correlation")) < 0.3
