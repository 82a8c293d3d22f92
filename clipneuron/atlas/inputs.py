"""What a run has for its atlas: the stages that hold its results, found by what the lines of work recorded."""

import re
from collections.abc import Sequence

import pyarrow as pa

from clipneuron.atlas.gather.sources import Compared, Sources, WordPool
from clipneuron.attack.results import AttackResults
from clipneuron.concepts.results import ConceptResults
from clipneuron.config.recipe import Recipe
from clipneuron.engine.stage import Stage, name_of
from clipneuron.evidence.results import EvidenceResults
from clipneuron.explanation.pipeline import CONTROL, PURSUIT
from clipneuron.explanation.results import ExplanationResults
from clipneuron.readers.sweep import Planned
from clipneuron.reports.quantities import counted
from clipneuron.store.identity import fingerprint
from clipneuron.store.store import Run
from clipneuron.sweep.neurons import without_words
from clipneuron.sweep.results import SweepResults

POOLS = 2
"""Pools whose words stand side by side."""
_DIGEST = "(-[0-9a-f]{8})?"


def sources_of(run: Run, swept: SweepResults, texts: str) -> Sources:
    """What a run has beside its sweep, whose texts a stage has encoded; raises StoreError."""
    known = run.stages()
    evidence = next(iter(run.results(EvidenceResults)), None)
    concepts = _of_swept(run)
    return Sources(
        directions=swept.directions,
        texts=texts,
        pools=_pools(run, swept),
        classifier=_classifier(run),
        indirect=_last(known, "indirect"),
        predictions=tuple(filter(run.done, evidence.predictions)) if evidence else (),
        claims=_claims(run, evidence),
        concepts=concepts.concepts if concepts else "",
        concept_index=concepts.index if concepts and run.done(concepts.index) else "",
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


def _classifier(run: Run) -> str:
    """The classifier of the most classes: lines of work may have one each."""
    own = [name for name in run.stages() if re.fullmatch(f"classifier{_DIGEST}", name)]
    return max(own, key=lambda name: (rows_of(run, name, "classifier"), name), default="")


def rows_of(run: Run, stage: str, table: str) -> int:
    """How many rows a stage has committed; raises StoreError."""
    return sum(commit.stored(table).rows for commit in run.committed(stage).values())


def _claims(run: Run, evidence: EvidenceResults | None) -> str:
    file = f"evidence-{evidence.name}/claims.json" if evidence else ""
    return file if file and run.has_file(file) else ""


def _of_swept(run: Run) -> ConceptResults | None:
    """Concepts of the swept pictures themselves: those of others are of pictures that the sweep has not numbered."""
    own = name_of("concept-pictures", "", {"images": run.identity["images"]}, [])
    found = run.results(ConceptResults)
    return next((item for item in found if item.pictures == own and run.done(item.concepts)), None)


def _attack(run: Run) -> AttackResults | None:
    """The last attack with verdicts."""
    return next((item for item in run.results(AttackResults) if run.done(item.verdicts)), None)


def compared_with(run: Run, changes: pa.Table) -> Compared:
    """Another run with how neurons differ from its; raises ValueError where it has no words, StoreError."""
    swept = run.results(SweepResults)
    if not swept:
        raise ValueError(_unfinished(run, "it has no directions and words yet"))
    return Compared(run, sources_of(run, swept[0], texts=""), changes)


def recipe_of(run: Run) -> Recipe:
    """The recipe of the run's last command; raises ValueError where it has none, StoreError."""
    order = run.announced()
    fields = (order.details if order else run.record.details).get("recipe")
    if fields is None:
        raise ValueError(f"run {run.name} does not say by which recipe it was begun: it has none")
    return Recipe(**fields)


def state_of(run: Run, sources: Sources) -> str:
    """A digest of which shards the other lines of work have committed; raises StoreError."""
    attack = sources.attack
    stages = [
        *sources.predictions,
        *(pool.scores for pool in sources.pools),
        *(stage for pool in sources.pools for stage in pool.others.values()),
        *(sources.classifier, sources.indirect),
        *(sources.concepts, sources.concept_index, sources.concept_scores),
        *((attack.words, attack.captions, attack.pictures, attack.verdicts) if attack else ()),
    ]
    done = {stage: sorted(run.done(stage)) for stage in sorted({*stages} - {""})}
    return fingerprint(done)


def planned_of(run: Run) -> Planned:
    """What a run has planned; raises ValueError for one that has not."""
    if not run.done("plan"):
        raise ValueError(_unfinished(run, "it has no plan yet"))
    return Planned.of(run)


def check_finished(run: Run, stages: Sequence[Stage]) -> None:
    """Raises ValueError where one of these stages of a sweep, all but the plan, has work left, and StoreError."""
    for stage in stages[1:]:
        wanted, done = {shard.name for shard in stage.shards(run)}, run.done(stage.name)
        if left := wanted - done:
            why = (
                f"{stage.name} has {len(wanted) - len(left):,} of {counted(len(wanted), 'shards')}"
            )
            raise ValueError(_unfinished(run, why))


def _unfinished(run: Run, why: str) -> str:
    return (
        f"run {run.name} is not finished ({why}), and an atlas is of a finished run: give its own command again, which "
        "goes on from there (`clipneuron status` shows how far it is)"
    )
