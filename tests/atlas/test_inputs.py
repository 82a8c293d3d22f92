"""What an atlas finds in a run: results of the swept pictures themselves, whatever else was asked of the run."""

from pathlib import Path

import pytest

from clipneuron.atlas.inputs import sources_of
from clipneuron.concepts.pipeline import ConceptsLine
from clipneuron.concepts.results import ConceptResults
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Run
from tests.samples.conceived import concepts_of
from tests.samples.world import quiet_runner

pytestmark = pytest.mark.slow

NEAREST = {"methods": ("nearest",)}


def concepts_in(run: Run, line: ConceptsLine) -> str:
    swept = line.stages(Planned.of(run)).swept
    return sources_of(run, swept.results, swept.texts.name).concepts


def test_concepts_are_those_of_the_swept_pictures_and_of_no_others(tmp_path: Path) -> None:
    """Other pictures, asked of before or after, have the same numbers and show other things."""
    elsewhere = concepts_of(tmp_path, asked=NEAREST)
    run, _ = elsewhere.run(quiet_runner())
    assert concepts_in(run, elsewhere) == ""
    swept = concepts_of(tmp_path, asked={**NEAREST, "images": ""})
    swept.run(quiet_runner())
    own, other = (line.results(run) for line in (swept, elsewhere))
    assert concepts_in(run, swept) == own.concepts != other.concepts
    run.announce(other)
    assert run.results(ConceptResults)[0] == other, "asked for last"
    assert concepts_in(run, swept) == own.concepts
    run.announce(own.model_copy(update={"pictures": ""}))
    assert concepts_in(run, swept) == "", "it does not say of which pictures it is"
