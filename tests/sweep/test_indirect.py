"""Directions of indirect effects: of how many of them, and where pictures for them are missing."""

from pathlib import Path

import pytest

from clipneuron.engine.stage import Named
from clipneuron.store.store import Failure
from clipneuron.sweep.interventions import indirect_top
from clipneuron.sweep.stages.indirect import IndirectDirectionsStage
from clipneuron.tables import registry as tables
from tests.samples.tables import new_run
from tests.samples.world import quiet_runner, sweep_of


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


@pytest.mark.parametrize(
    ("top", "pictures", "seen", "expected"),
    [
        (100, 5000, 512, 10),
        (100, 5000, 5000, 100),
        (100, 5124, 2000, 39),
        (40, 2000, 128, 10),
        (5, 12, 6, 6),
        (5, 4, 6, 4),
        (256, 512, 256, 128),
    ],
)
def test_as_large_a_share_of_indirect_effects_as_of_d_gives_a_direction_but_not_fewer_than_ten(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    top: int,
    pictures: int,
    seen: int,
    expected: int,
) -> None:
    sweep = sweep_of(tmp_path, top=top, evaluation={"indirect_images": seen})
    monkeypatch.setattr(type(sweep.collection), "__len__", lambda _: pictures)
    assert indirect_top(sweep) == expected
