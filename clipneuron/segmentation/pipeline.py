"""Attribution maps as segmentations: the sweep up to its directions, then one pass over pictures that have masks."""

from dataclasses import dataclass

from clipneuron.config.recipe import Recipe
from clipneuron.config.segmentation import Segmentation
from clipneuron.config.values.protocols import Protocol
from clipneuron.data.opening import Collection
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Stage
from clipneuron.models.clip.model import Clip
from clipneuron.readers.masks import MaskedFeed
from clipneuron.readers.pictures import PictureFeed
from clipneuron.readers.sweep import Planned
from clipneuron.reports.quantities import counted
from clipneuron.segmentation.inputs import Evaluated, evaluated_of
from clipneuron.segmentation.layers import chosen_layers
from clipneuron.segmentation.maps import choices_of
from clipneuron.segmentation.results import SegmentationResults
from clipneuron.segmentation.stages.neurons import ClassNeuronsStage
from clipneuron.segmentation.stages.scores import SegmentationScoresStage
from clipneuron.segmentation.stages.segmentations import SegmentationsStage
from clipneuron.store.store import Run, Store
from clipneuron.sweep.inputs import about_classes, templates_in
from clipneuron.sweep.pipeline import Sweep, SweepStages
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.sweep.stages.plan import PlanStage

SHARD = 64
"""Pictures per commit, at most: a picture takes as many passes as there are texts to make maps for."""


@dataclass(frozen=True)
class SegmentationLine:
    """A sweep, and the matrix of methods and protocols on top of it, in the same run."""

    sweep: Sweep
    evaluated: Evaluated
    templates: tuple[str, ...]
    layers: tuple[int, ...]
    """That the neurons of classes are chosen from."""

    @classmethod
    def of(cls, recipe: Recipe, store: Store, clip: Clip | None = None) -> "SegmentationLine":
        """Resolve a recipe with its segmentation; raises ValueError for what does not fit, before any long work."""
        sweep = Sweep.of(recipe, store, clip)
        asked = recipe.segmentation
        layers = chosen_layers(asked.neuron_layers, sweep.clip.layers, sweep.layers)
        most = len(layers) * sweep.clip.neurons
        if asked.neurons_per_class > most:
            raise ValueError(
                f"{asked.neurons_per_class:,} neurons cannot be chosen of {most:,}: lower "
                "`segmentation.neurons_per_class`, or add layers with `segmentation.neuron_layers`"
            )
        evaluated = evaluated_of(recipe, store.objects)
        return cls(sweep, evaluated, templates_in(asked.templates), layers)

    @property
    def asked(self) -> Segmentation:
        """The recipe's segmentation."""
        return self.sweep.recipe.segmentation

    @property
    def collection(self) -> Collection:
        """The pictures that have masks."""
        return self.evaluated.pictures

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        found, asked = self.evaluated, self.asked
        layers = ", ".join(map(str, self.layers))
        pictures = counted(len(found.pictures), "pictures")
        notes = [*found.masks.notes, *found.left_out]
        notes += about_classes(found.classes, self.templates, self.sweep.clip)
        return "\n".join(
            [
                self.sweep.describe(),
                f"masks     {found.masks.kind}: {counted(found.maps, 'masks')} of classes in {pictures}",
                f"classes   {len(found.classes):,} with a text, in {counted(len(self.templates), 'templates')}",
                f"neurons   {asked.neurons_per_class} of layers {layers} for each class",
                f"methods   {', '.join(asked.chosen_methods)}",
                f"protocols {', '.join(asked.protocols)}",
                *(f"note      {note}" for note in notes),
            ]
        )

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring the directions and the matrix to completion, or all up to a kind; nothing is done twice.

        Raises as `Sweep.run` does.
        """
        run, planned, report = self.sweep.planned(runner)
        stages = self.stages(planned)
        results = [stages.results]
        return run, self.sweep.carried_out(stages.all, results, runner, run, report, until)

    def results(self, run: Run) -> SegmentationResults:
        """The stages that hold the matrix of a run."""
        return self.stages(Planned.of(run)).results

    def stages(self, planned: Planned) -> "SegmentationStages":
        """The stages of a planned run."""
        sweep, recipe, asked = self.sweep, self.sweep.recipe, self.asked
        swept = sweep.stages(planned)
        methods, protocols = asked.chosen_methods, asked.protocols
        size = min(recipe.shard_size, SHARD)
        plan = PlanStage(self.collection, size, kind="segmentation-plan")
        classifier = ClassifierStage(sweep.loader, self.evaluated.classes, self.templates)
        neurons = ClassNeuronsStage(
            swept.directions,
            classifier,
            len(self.evaluated.classes),
            self.layers,
            asked.neurons_per_class,
            choices_of(methods),
            recipe.seed,
        )
        segmentations = SegmentationsStage(
            clip=sweep.loader,
            pictures=self._feed(plan),
            masks=self.evaluated.masks.digest,
            methods=methods,
            protocols=protocols,
            batch_size=recipe.batch_size,
            plan=plan,
            classifier=classifier,
            neurons=neurons,
        )
        scores = SegmentationScoresStage(
            segmentations=segmentations, methods=methods, protocols=protocols
        )
        return SegmentationStages(swept, plan, classifier, neurons, segmentations, scores)

    def _feed(self, plan: PlanStage) -> MaskedFeed:
        found = self.evaluated
        pictures = PictureFeed(
            self.collection.reader, self.sweep.preprocess, planned=plan.name, cache=self.sweep.cache
        )
        alignments = dict.fromkeys(Protocol.named(name).alignment for name in self.asked.protocols)
        numbers = {name: number for number, name in enumerate(found.classes)}
        return MaskedFeed(pictures, found.masks.reader, found.listing, numbers, tuple(alignments))


@dataclass(frozen=True)
class SegmentationStages:
    """The stages up to the directions, and those of the matrix, in the order in which they read each other."""

    swept: SweepStages
    plan: PlanStage
    """Cuts the pictures that have masks."""
    classifier: ClassifierStage
    neurons: ClassNeuronsStage
    segmentations: SegmentationsStage
    scores: SegmentationScoresStage

    @property
    def all(self) -> list[Stage]:
        """As a list. Nothing here reads words: texts are not encoded, and neurons not described."""
        swept = self.swept
        directions = [swept.plan, swept.calibrate, swept.effects, *swept.merges, swept.directions]
        own = [self.plan, self.classifier, self.neurons, self.segmentations, self.scores]
        return [*directions, *own]

    @property
    def results(self) -> SegmentationResults:
        """Which of them hold the matrix."""
        return SegmentationResults(
            name=self.scores.name,
            methods=self.scores.methods,
            protocols=self.scores.protocols,
            directions=self.swept.directions.name,
            classifier=self.classifier.name,
            neurons=self.neurons.name,
            segmentations=self.segmentations.name,
            scores=self.scores.name,
        )
