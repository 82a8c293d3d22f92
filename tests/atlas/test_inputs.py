"""What an atlas finds in a run: results of the swept pictures themselves, whatever else was asked of the run."""

import json
from pathlib import Path

import pytest

from clipneuron.atlas.gather.front import claims_of
from clipneuron.atlas.inputs import sources_of
from clipneuron.concepts.pipeline import ConceptsLine
from clipneuron.concepts.results import ConceptResults
from clipneuron.readers.sweep import Planned
from clipneuron.reports import verdicts
from clipneuron.reports.estimates import Estimate
from clipneuron.store.store import Run, Store
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


def test_claims_have_the_numbers_of_the_report_and_those_of_earlier_ones_their_findings(
    tmp_path: Path,
) -> None:
    run = Store(tmp_path).open_run("sample", {"model": "sample"}, {})
    figures = (verdicts.Figure("drop", Estimate(0.1, 0.05, 0.2), 0.13),)
    judged = verdicts.Judgement("holds", "clear")
    where = "Fig. 3", "It drops", "if so"
    said = verdicts.Claim(*where, figures, judged, "here", False, "curve only")
    earlier = {key: value for key, value in said.as_json().items() if key not in ("paper", "ours")}
    run.put_file("claims.json", json.dumps([said.as_json(), earlier]).encode())
    now, then = claims_of(run, "claims.json")
    assert (now.paper, now.ours) == (said.paper, said.ours)
    assert "13.0 %" in now.paper
    assert "10.0 %" in now.ours
    assert (then.paper, then.ours) == ("curve only", "")
    assert claims_of(run, "") == []
