"""How true the words of a sweep are: the sweep, then one pass over held-out pictures, describers and scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from clipneuron.config.explanation import Explanation
from clipneuron.config.recipe import Recipe
from clipneuron.data.opening import Collection
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Resources, Stage
from clipneuron.explanation.inputs import (
    ClipWitness,
    HeldOut,
    StatedWitness,
    classes_of,
    held_out_of,
    witness_of,
)
from clipneuron.explanation.results import ExplanationResults
from clipneuron.explanation.stages.best import BestWordsStage
from clipneuron.explanation.stages.controls import ControlWordsStage
from clipneuron.explanation.stages.cosy import CosyScoresStage
from clipneuron.explanation.stages.dissected import DissectedWordsStage
from clipneuron.explanation.stages.nearest import NearestWordsStage
from clipneuron.explanation.stages.outputs import OutputScoresStage
from clipneuron.explanation.stages.painted import PaintedWordsStage
from clipneuron.explanation.stages.projections import ProjectionsStage
from clipneuron.explanation.stages.scores import ScoresStage
from clipneuron.explanation.stages.statements import StatementsStage
from clipneuron.explanation.stages.witness import WitnessStage
from clipneuron.models.clip.model import Clip
from clipneuron.models.painting.painter import Painter
from clipneuron.models.places import Given, Placed
from clipneuron.readers.lenses import moved
from clipneuron.readers.pictures import PictureFeed
from clipneuron.readers.sweep import Planned
from clipneuron.reports.quantities import counted
from clipneuron.store.store import Run, Store
from clipneuron.sweep.inputs import about_classes, templates_in
from clipneuron.sweep.painters import painter_of
from clipneuron.sweep.pipeline import Sweep, SweepStages
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.sweep.stages.plan import PlanStage
from clipneuron.sweep.stages.texts import TextsStage

SHARD = 256
"""Held-out pictures per commit, at most."""


@dataclass(frozen=True)
class ExplanationLine:
    """A sweep, and the scores of its words on top of it, in the same run."""

    sweep: Sweep
    held_out: HeldOut
    witness: StatedWitness | ClipWitness
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    painter: Painter | None = None
    """Who paints words for CoSy's scores; None for nobody."""

    @classmethod
    def of(cls, recipe: Recipe, store: Store, clip: Clip | None = None) -> "ExplanationLine":
        """Resolve a recipe with its explanation; raises ValueError for what does not fit, before any long work."""
        sweep = Sweep.of(recipe, store, clip)
        held_out = held_out_of(recipe, store.objects, sweep.collection)
        witness = witness_of(recipe, held_out.pictures, sweep.clip)
        classes = classes_of(recipe, held_out.pictures)
        templates = templates_in(recipe.explanation.templates)
        return cls(sweep, held_out, witness, classes, templates, _painter(recipe.explanation))

    @property
    def asked(self) -> Explanation:
        """The recipe's explanation."""
        return self.sweep.recipe.explanation

    @property
    def collection(self) -> Collection:
        """The held-out pictures."""
        return self.held_out.pictures

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        swept, share = self.held_out.swept, self.asked.share
        left_out = f" ({swept:,} others were swept and are left out)" if swept else ""
        notes = about_classes(self.classes, self.templates, self.sweep.clip) if self.classes else []
        watched = counted(len(self.classes), "classes") if self.classes else "none: no classes"
        return "\n".join(
            [
                self.sweep.describe(),
                f"held out  {counted(len(self.collection), 'pictures')}{left_out}: a half to fit, a half to score",
                f"witness   {self.witness.name}; F1 and IoU at {share:.1%} of the pictures",
                f"logits    {watched}",
                *self._about_painting,
                *(f"note      {note}" for note in notes),
            ]
        )

    @property
    def _about_painting(self) -> list[str]:
        if self.painter is None:
            return []
        asked, layers = self.asked, counted(len(self.sweep.layers), "layers")
        return [
            f"CoSy      words of {asked.painted_neurons} neurons of each of {layers}; {asked.painted_each} pictures of "
            f"every word by {self.painter.name}"
        ]

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring the sweep and the scores to completion, or all up to a kind; nothing is done twice.

        Raises as `Sweep.run` does.
        """
        run, planned, report = self.sweep.planned(runner)
        stages = self.stages(planned)
        results = (stages.swept.results, stages.results)
        return run, self.sweep.carried_out(stages.all, results, runner, run, report, until)

    def look(self, until: str | None = None) -> None:
        """Raises UnavailableError where the painter is still needed and cannot be had; loads nothing."""
        if not isinstance(self.painter, Placed) or until not in (None, *PAINTED):
            return
        run = self.sweep.open()
        if run.done("plan"):
            painted = self.stages(Planned.of(run)).painted[0]
            if {shard.name for shard in painted.shards(run)} <= run.done(painted.name):
                return
        self.painter.look()

    def results(self, run: Run) -> ExplanationResults:
        """The stages that hold the scores of a run."""
        return self.stages(Planned.of(run)).results

    def stages(self, planned: Planned) -> "ExplanationStages":
        """The stages of a planned run."""
        sweep, recipe = self.sweep, self.sweep.recipe
        swept = sweep.stages(planned)
        plan = PlanStage(self.collection, min(recipe.shard_size, SHARD), kind="held-out")
        pictures = PictureFeed(
            self.collection.reader, sweep.preprocess, planned=plan.name, cache=sweep.cache
        )
        projections = ProjectionsStage(
            sweep.loader,
            pictures,
            sweep.lenses,
            recipe.batch_size,
            plan,
            swept.calibrate,
            swept.directions,
        )
        witness = self._witness(plan, pictures)
        describers = self._describers(swept, projections, witness)
        scores = ScoresStage(
            layers=sweep.layers,
            neurons=sweep.clip.neurons,
            projections=projections,
            witness=witness,
            by=self.witness.name,
            describers=describers,
            top_share=self.asked.share,
            witness_share=self.asked.witness_share,
        )
        outputs = self._outputs(swept, projections, describers) if self.classes else ()
        painted = self._painted(swept, projections, witness, describers) if self.painter else ()
        return ExplanationStages(
            swept, plan, projections, witness, describers, scores, outputs, painted
        )

    def _describers(
        self, swept: SweepStages, projections: ProjectionsStage, witness: tuple[Stage, ...]
    ) -> dict[str, Stage]:
        """Everybody who gives neurons words, by name. To add one, write a stage with the table `neuron_words`."""
        recipe = self.sweep.recipe
        shape: dict[str, Any] = {"layers": self.sweep.layers, "neurons": self.sweep.clip.neurons}
        pool = {"texts": swept.texts, **shape}
        nearest = NearestWordsStage(
            directions=swept.directions,
            words=recipe.words,
            preparation=recipe.preparation,
            **pool,
        )
        seen = {"projections": projections, "witness": witness, **pool}
        share = self.asked.witness_share
        control = {"described": swept.descriptions, "seed": recipe.seed, **pool}
        return {
            PURSUIT: swept.descriptions,
            "nearest": nearest,
            "clip-dissect": DissectedWordsStage(**seen),
            BOUND: BestWordsStage(witness_share=share, **seen),
            CONTROL: ControlWordsStage(kind="other-words", **control),
            "random": ControlWordsStage(kind="random-words", **control),
        }

    def _witness(self, plan: PlanStage, pictures: PictureFeed) -> tuple[Stage, ...]:
        """The stages by which the witness speaks."""
        pool, recipe = self.sweep.pool, self.sweep.recipe
        if isinstance(self.witness, StatedWitness):
            own = self.witness
            told = StatementsStage(
                own.tell, own.name, own.knows, pool.texts, pool.digest, pictures, plan
            )
            return (told,)
        clip = self.witness.clip
        loader = partial(moved, clip, recipe.device)
        texts = TextsStage(loader, pool, kind="witness-texts", model=clip.digest)
        feed = PictureFeed(
            pictures.reader, clip.preprocess, planned=plan.name, cache=pictures.cache
        )
        seen = WitnessStage(loader, feed, recipe.batch_size, plan, self.witness.name, clip.digest)
        return (seen, texts)

    def _outputs(
        self, swept: SweepStages, projections: ProjectionsStage, describers: Mapping[str, Stage]
    ) -> tuple[ClassifierStage, OutputScoresStage]:
        sweep = self.sweep
        classifier = ClassifierStage(sweep.loader, self.classes, self.templates)
        scores = OutputScoresStage(
            layers=sweep.layers,
            neurons=sweep.clip.neurons,
            clip=partial(moved, sweep.clip, "cpu"),
            lenses=sweep.lenses,
            means=swept.calibrate,
            projections=projections,
            classifier=classifier,
            texts=swept.texts,
            preparation=sweep.recipe.preparation,
            describers=describers,
        )
        return classifier, scores

    def _painted(
        self,
        swept: SweepStages,
        projections: ProjectionsStage,
        witness: tuple[Stage, ...],
        describers: Mapping[str, Stage],
    ) -> tuple[PaintedWordsStage, CosyScoresStage]:
        assert self.painter is not None
        sweep, asked = self.sweep, self.asked
        chosen: dict[str, Any] = {
            "neurons": sweep.clip.neurons,
            "drawn": asked.painted_neurons,
            "seed": sweep.recipe.seed,
            "describers": describers,
        }
        painted = PaintedWordsStage(
            painter=Given(self.painter),
            painter_name=self.painter.name,
            layers=sweep.layers,
            each=asked.painted_each,
            caption=asked.painted_caption,
            resources=Resources(pool="gen", memory=asked.painter_memory),
            **chosen,
        )
        scores = CosyScoresStage(
            clip=sweep.loader,
            preprocess=sweep.preprocess,
            lenses=sweep.lenses,
            batch_size=sweep.recipe.batch_size,
            painted=painted,
            means=swept.calibrate,
            directions=swept.directions,
            projections=projections,
            witness=witness,
            **chosen,
        )
        return painted, scores


def _painter(asked: Explanation) -> Painter | None:
    """Who paints words, None for nobody."""
    if not asked.painter:
        return None
    return painter_of(asked.painter, asked.painted_each, asked.offload, "explanation.painter")


PAINTED = (PaintedWordsStage.kind, CosyScoresStage.kind)
"""Kinds of stages that need a painter."""

PURSUIT, BOUND, CONTROL = "pursuit", "best-word", "other-neuron"
"""Describers that others are compared with."""


@dataclass(frozen=True)
class ExplanationStages:
    """The stages of a sweep and of the scores on top of it, in the order in which they read each other."""

    swept: SweepStages
    plan: PlanStage
    """Cuts the held-out pictures."""
    projections: ProjectionsStage
    witness: tuple[Stage, ...]
    describers: Mapping[str, Stage]
    scores: ScoresStage
    outputs: tuple[ClassifierStage, OutputScoresStage] | tuple[()]
    painted: tuple[PaintedWordsStage, CosyScoresStage] | tuple[()]
    """Where somebody paints."""

    @property
    def all(self) -> list[Stage]:
        """As a list; `distinct` leaves out the pursuit's second mention."""
        held_out = [self.plan, self.projections, *self.witness]
        return [
            *self.swept.all,
            *held_out,
            *self.describers.values(),
            self.scores,
            *self.outputs,
            *self.painted,
        ]

    @property
    def results(self) -> ExplanationResults:
        """Which of them hold the scores."""
        return ExplanationResults(
            name=self.scores.name,
            layers=self.scores.layers,
            directions=self.swept.directions.name,
            describers={name: stage.name for name, stage in self.describers.items()},
            scores=self.scores.name,
            output_scores=self.outputs[1].name if self.outputs else None,
            cosy_scores=self.painted[1].name if self.painted else None,
        )
