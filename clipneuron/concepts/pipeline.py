"""Concepts in bulk: the sweep, then one pass over the pictures, the index, and scores where something is known."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from clipneuron.concepts.inputs import Looked, layers_of, pictures_of, witness_of
from clipneuron.concepts.known import NEEDS_SAMPLE, Search, Sources
from clipneuron.concepts.results import ConceptResults
from clipneuron.concepts.stages.concepts import ConceptsStage
from clipneuron.concepts.stages.effects import DirectEffectsStage
from clipneuron.concepts.stages.heads import HeadTextsStage
from clipneuron.concepts.stages.index import ConceptIndexStage
from clipneuron.concepts.stages.scores import ConceptScoresStage
from clipneuron.config.concepts import Concepts
from clipneuron.config.recipe import Recipe
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Stage
from clipneuron.explanation.inputs import StatedWitness
from clipneuron.explanation.stages.statements import StatementsStage
from clipneuron.models.clip.model import Clip
from clipneuron.readers.pictures import PictureFeed
from clipneuron.readers.sweep import Planned
from clipneuron.reports.quantities import counted
from clipneuron.store.store import Run, Store
from clipneuron.sweep.pipeline import Sweep, SweepStages
from clipneuron.sweep.stages.plan import PlanStage

SHARD = 256
"""Pictures per commit, at most."""


@dataclass(frozen=True)
class ConceptsLine:
    """A sweep, and the concepts of pictures on top of it, in the same run."""

    sweep: Sweep
    looked: Looked
    layers: tuple[int, ...]
    witness: StatedWitness | None

    @classmethod
    def of(cls, recipe: Recipe, store: Store, clip: Clip | None = None) -> "ConceptsLine":
        """Resolve a recipe with its concepts; raises ValueError for what does not fit, before any long work."""
        sweep = Sweep.of(recipe, store, clip)
        layers = layers_of(recipe.concepts, usual_layers(sweep.clip), sweep.layers)
        looked = pictures_of(recipe, store.objects, sweep.collection)
        return cls(sweep, looked, layers, witness_of(recipe, looked))

    @property
    def asked(self) -> Concepts:
        """The recipe's concepts."""
        return self.sweep.recipe.concepts

    @cached_property
    def search(self) -> Search:
        """How concepts are looked for."""
        return search_of(self.sweep.recipe, self.layers)

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        seen, asked = self.looked.swept, self.asked
        of_sweep = f" ({seen:,} of them were swept)" if seen else ""
        described = "long descriptions" if asked.described == "long" else "few words"
        return "\n".join(
            [
                self.sweep.describe(),
                f"concepts  in {counted(len(self.looked.pictures), 'pictures')}{of_sweep}; {', '.join(asked.methods)}",
                f"neurons   of layers {', '.join(map(str, self.layers))}, by their {described}",
                f"witness   {self.witness.name if self.witness else 'none: no scores'}",
            ]
        )

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring the sweep and the concepts to completion, or all up to a kind; nothing is done twice.

        Raises as `Sweep.run` does.
        """
        run, planned, report = self.sweep.planned(runner)
        stages = self.stages(planned)
        results = (stages.swept.results, stages.results)
        return run, self.sweep.carried_out(stages.all, results, runner, run, report, until)

    def results(self, run: Run) -> ConceptResults:
        """The stages that hold the concepts of a run."""
        return self.stages(Planned.of(run)).results

    def stages(self, planned: Planned) -> "ConceptStages":
        """The stages of a planned run."""
        sweep, recipe, asked = self.sweep, self.sweep.recipe, self.asked
        swept = sweep.stages(planned)
        plan = PlanStage(
            self.looked.pictures, min(recipe.shard_size, SHARD), kind="concept-pictures"
        )
        pictures = PictureFeed(
            self.looked.pictures.reader, sweep.preprocess, planned=plan.name, cache=sweep.cache
        )
        effects, heads = self._sampled(swept)
        sources = Sources(
            means=swept.calibrate,
            directions=swept.directions,
            descriptions=swept.descriptions,
            texts=swept.texts,
            effects=effects,
            heads=heads,
        )
        passes: dict[str, Any] = {
            "clip": sweep.loader,
            "pictures": pictures,
            "lenses": sweep.lenses,
            "batch_size": recipe.batch_size,
            "plan": plan,
            "search": self.search,
            "sources": sources,
        }
        concepts = ConceptsStage(count=asked.count, strongest=asked.strongest, **passes)
        index = ConceptIndexStage(concepts=concepts, texts=sweep.pool.texts)
        return ConceptStages(
            swept, plan, effects, heads, concepts, index, self._judged(plan, pictures, passes)
        )

    def _sampled(
        self, swept: SweepStages
    ) -> tuple[DirectEffectsStage | None, HeadTextsStage | None]:
        """The stages on some swept pictures, as far as a method needs them."""
        sweep, asked = self.sweep, self.asked
        if not {*NEEDS_SAMPLE} & {*asked.methods}:
            return None, None
        effects = DirectEffectsStage(
            clip=sweep.loader,
            pictures=sweep.pictures,
            lenses=sweep.lenses,
            batch_size=sweep.recipe.batch_size,
            plan=swept.plan,
            images=asked.sample,
            depth=asked.depth,
        )
        if "textspan" not in asked.methods:
            return effects, None
        last = range(max(0, sweep.clip.layers - asked.depth), sweep.clip.layers)
        heads = HeadTextsStage(
            effects=effects,
            texts=swept.texts,
            layers=tuple(last),
            heads=sweep.clip.weights.heads,
            embed=sweep.clip.embed,
            count=asked.head_texts,
        )
        return effects, heads

    def _judged(
        self, plan: PlanStage, pictures: PictureFeed, passes: dict[str, Any]
    ) -> tuple[StatementsStage, ConceptScoresStage] | tuple[()]:
        """The stages of the scores, none where nobody knows what is true."""
        if self.witness is None:
            return ()
        own, pool = self.witness, self.sweep.pool
        told = StatementsStage(
            own.tell, own.name, own.knows, pool.texts, pool.digest, pictures, plan
        )
        return told, ConceptScoresStage(witness=told, by=own.name, **passes)


def usual_layers(clip: Clip) -> tuple[int, ...]:
    """The layer of Fig. 7: the third from last, or the first of a small tower."""
    return (max(0, clip.layers - 3),)


def search_of(recipe: Recipe, layers: tuple[int, ...]) -> Search:
    """How a recipe looks for concepts, with neurons of these layers."""
    asked = recipe.concepts
    return Search(
        layers=layers,
        methods=asked.methods,
        rule=asked.rule,
        described=asked.described,
        penalty=asked.penalty,
        seed=recipe.seed,
    )


@dataclass(frozen=True)
class ConceptStages:
    """The stages of a sweep and of the concepts on top of it, in the order in which they read each other."""

    swept: SweepStages
    plan: PlanStage
    """Cuts the pictures."""
    effects: DirectEffectsStage | None
    heads: HeadTextsStage | None
    concepts: ConceptsStage
    index: ConceptIndexStage
    judged: tuple[StatementsStage, ConceptScoresStage] | tuple[()]

    @property
    def all(self) -> list[Stage]:
        """As a list."""
        sampled = [stage for stage in (self.effects, self.heads) if stage]
        return [*self.swept.all, self.plan, *sampled, self.concepts, self.index, *self.judged]

    @property
    def results(self) -> ConceptResults:
        """Which of them hold the concepts."""
        return ConceptResults(
            name=self.concepts.name,
            pictures=self.plan.name,
            concepts=self.concepts.name,
            index=self.index.name,
            scores=self.judged[1].name if self.judged else None,
        )
