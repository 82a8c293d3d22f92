"""On a tower whose neurons' words are known, the concepts of a picture are what it shows."""

from pathlib import Path

import pytest

from clipneuron.concepts.figures import judged
from clipneuron.concepts.pipeline import ConceptsLine
from clipneuron.config.concepts import Concepts
from clipneuron.data.text_pools import open_pool
from tests.samples.planted import planted_world, swept, write_collection
from tests.samples.world import quiet_runner

pytestmark = pytest.mark.slow


def test_concepts_are_what_pictures_show_and_those_of_other_neurons_are_not(tmp_path: Path) -> None:
    """Four of forty things are in a picture; half of their neurons are above the least of their top effects there."""
    world = planted_world(open_pool("words-100").texts)
    sweep, _, _ = swept(world, tmp_path, 140)
    write_collection(world, tmp_path / "others" / "1.parquet", 40, seed=1)
    asked = Concepts(
        images=str(tmp_path / "others"),
        tag_column="tags",
        rule="top",
        described="short",
        methods=("second-order", "other-neurons"),
    )
    recipe = sweep.recipe.model_copy(update={"concepts": asked})
    line = ConceptsLine.of(recipe, sweep.store, world.clip)
    run, _ = line.run(quiet_runner())
    found = judged(run, line.results(run).scores, len(world.pool))
    ours, control = found.rows
    assert ours.precision.low > 0.3
    assert control.precision.high < 0.1 < found.limits.bound
    assert ours.mean_rank.high < control.mean_rank.low - 10
    assert control.over["precision"].high < -0.2
    assert control.mean_rank.low < found.limits.chance_rank + 5
