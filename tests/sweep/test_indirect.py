"""Directions of indirect effects where pictures for them are missing."""

from pathlib import Path

import pytest

from clipneuron.engine.stage import Named
from clipneuron.store.store import Failure
from clipneuron.sweep.stages.indirect import IndirectDirectionsStage
from clipneuron.tables import registry as tables
from tests.samples.tables import new_run
from tests.samples.world import quiet_runner


@pytest.mark.parametrize("seen", [0, 1])
def test_too_few_usable_pictures_are_said_before_any_attempt(tmp_path: Path, seen: int) -> None:
    run = new_run(tmp_path)
    row = {"layer": 0, "indirect": [1.0, 0.0], "second_order": [0.0, 1.0]}
    rows = [{**row, "index": index, "neuron": neuron} for index in range(seen) for neuron in (1, 2)]
    schema = tables.schema("indirect")
    table = schema.empty_table().from_pylist(rows, schema=schema)
    broken = Failure("a.png", "corrupt", "a.png: no picture at all")
    run.commit("indirect", "0", {"indirect": table}, failures=[broken])
    stage = IndirectDirectionsStage(Named("indirect"), {0: (1, 2)}, top=5)
    says = rf"at least 2 pictures, and {seen} of {seen + 1} could be used .*a\.png: no picture"
    with pytest.raises(ValueError, match=says):
        quiet_runner().run([stage], run)
    assert not run.failures(stage.name)
