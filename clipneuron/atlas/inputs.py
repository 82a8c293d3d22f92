"""What a run has for its atlas: the stages that hold its results, found by what the lines of work recorded."""

import re

from clipneuron.atlas.sources import Sources, WordPool
from clipneuron.attack.results import AttackResults
from clipneuron.concepts.results import ConceptResults
from clipneuron.engine.stage import name_of
from clipneuron.evidence.results import EvidenceResults
from clipneuron.explanation.pipeline import CONTROL, PURSUIT
from clipneuron.explanation.results import ExplanationResults
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import without_words
from clipneuron.sweep.results import SweepResults

POOLS = 2
"""Pools whose words stand side by side."""
_DIGEST = "(-[0-9a-f]{8})?"


def sources_of(run: Run, swept: SweepResults) -> Sources:
    """What a run has beside its sweep; raises StoreError."""
    known = run.stages()
    evidence = next(iter(run.results(EvidenceResults)), None)
    concepts = _of_swept(run)
    return Sources(
        directions=swept.directions,
        pools=_pools(run, swept),
        classifier=_last(known, "classifier"),
        indirect=_last(known, "indirect"),
        predictions=tuple(filter(run.done, evidence.predictions)) if evidence else (),
        claims=_claims(run, evidence),
        concepts=concepts.concepts if concepts else "",
        concept_scores=(concepts.scores or "") if concepts else "",
        attack=_attack(run),
    )


def _pools(run: Run, swept: SweepResults) -> tuple[WordPool, ...]:
    """The recipe's own pool first, then the one that was described last."""
    others = [
        item.descriptions
        for item in run.results(SweepResults)
        if item.directions == swept.directions
    ]
    names = [*dict.fromkeys([swept.descriptions, *others])]
    told = [name for name in names if run.done(name) and not without_words(run, name)]
    return tuple(_pool(run, name) for name in told[:POOLS])


def _pool(run: Run, descriptions: str) -> WordPool:
    name = re.sub(f"^descriptions-?|{_DIGEST}$", "", descriptions) or "words"
    for item in run.results(ExplanationResults):
        if item.describers.get(PURSUIT) == descriptions and run.done(item.scores):
            others = {
                who: stage
                for who, stage in item.describers.items()
                if who not in (PURSUIT, CONTROL, "random") and run.done(stage)
            }
            return WordPool(name, descriptions, item.scores, PURSUIT, CONTROL, others)
    return WordPool(name, descriptions, describer=PURSUIT)


def _last(stages: list[str], kind: str) -> str:
    """A stage of this kind, by name; the last one of several."""
    own = [name for name in stages if re.fullmatch(f"{kind}{_DIGEST}", name)]
    return max(own, default="")


def _claims(run: Run, evidence: EvidenceResults | None) -> str:
    file = f"evidence-{evidence.name}/claims.json" if evidence else ""
    return file if file and run.has_file(file) else ""


def _of_swept(run: Run) -> ConceptResults | None:
    """Concepts of the swept pictures themselves: those of others are of pictures that the sweep has not numbered."""
    own = name_of("concept-pictures", "", {"images": run.identity["images"]}, [])
    if not run.done(own):
        return None
    for item in run.results(ConceptResults):
        if run.done(item.concepts):
            return item
    return None


def _attack(run: Run) -> AttackResults | None:
    """The last attack with verdicts."""
    return next((item for item in run.results(AttackResults) if run.done(item.verdicts)), None)
