"""The paper's evidence for a recipe: the sweep, then every experiment of Sec. 3 and 4 and of App. A.1, A.2 and A.4."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from clipneuron.config.evaluation import Evaluation
from clipneuron.config.recipe import Recipe
from clipneuron.data.opening import Collection
from clipneuron.data.text_pools import Pool
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Stage
from clipneuron.evidence.inputs import (
    Labelled,
    evaluation_pools_of,
    labelled_pictures_of,
)
from clipneuron.evidence.results import EvidenceResults
from clipneuron.evidence.stages.ablations import AblationsStage
from clipneuron.evidence.stages.first_order import (
    FirstOrderMeansStage,
    FirstOrderStage,
    HeadEffects,
)
from clipneuron.evidence.stages.indirect_ablations import IndirectAblationsStage
from clipneuron.evidence.stages.reconstructions import ReconstructionsStage
from clipneuron.models.clip.model import Clip
from clipneuron.readers.pictures import PictureFeed
from clipneuron.readers.sweep import Planned
from clipneuron.reports.quantities import counted
from clipneuron.store.store import Run, Store
from clipneuron.sweep import lengths
from clipneuron.sweep.inputs import about_classes, readable, seen_in, templates_in, unread
from clipneuron.sweep.interventions import Interventions
from clipneuron.sweep.pipeline import Sweep, SweepStages
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.sweep.stages.descriptions import DescriptionsStage
from clipneuron.sweep.stages.plan import PlanStage
from clipneuron.sweep.stages.pools import PoolStage
from clipneuron.sweep.stages.texts import TextsStage

SHARD = 256
"""Labelled pictures per commit, at most: unlike the sweep's, their shards leave little behind."""


@dataclass(frozen=True)
class Reproduction:
    """A sweep and the evidence that is gathered on top of it, in the same run."""

    sweep: Sweep
    labelled: Labelled
    templates: tuple[str, ...]
    pools: tuple[Pool, ...]

    @classmethod
    def of(cls, recipe: Recipe, store: Store, clip: Clip | None = None) -> "Reproduction":
        """Resolve a recipe with its evaluation; raises ValueError for what does not fit, before any long work."""
        sweep = Sweep.of(recipe, store, clip)
        labelled = labelled_pictures_of(recipe, store.objects)
        pools = evaluation_pools_of(recipe, labelled.join.names)
        pools = tuple(readable(pool, sweep.clip) for pool in pools)
        found = cls(sweep, labelled, templates_in(recipe.evaluation.templates), pools)
        found.check()
        return found

    @property
    def collection(self) -> Collection:
        """The labelled pictures."""
        return self.labelled.pictures

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return self.labelled.join.names

    @property
    def asked(self) -> Evaluation:
        """The recipe's evaluation."""
        return self.sweep.recipe.evaluation

    @property
    def has_other_pictures(self) -> bool:
        """Whether no picture of the evaluation is one of D."""
        return not any(seen_in(self.sweep.collection, self.collection))

    @cached_property
    def detail_layers(self) -> tuple[int, ...]:
        """The layers of Fig. 4 and Table 1, in rising order."""
        third_from_last = self.sweep.clip.layers - 3
        return tuple(sorted({*self.asked.detail_layers})) or (third_from_last,)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of Fig. 4, in rising order."""
        smallest, recipe = min(map(len, self.pools), default=lengths.MOST), self.sweep.recipe
        usual = lengths.usual(self.sweep.clip.embed, smallest, recipe.preparation)
        return tuple(sorted({*self.asked.sizes})) or lengths.usual_sizes(usual)

    def check(self) -> None:
        """Raises ValueError for layers that are not swept, sizes that no pool allows and neurons that do not exist."""
        missing = sorted({*self.detail_layers} - {*self.sweep.layers})
        if missing:
            raise ValueError(
                f"`evaluation.detail_layers` {missing} are not among the layers of the run, {list(self.sweep.layers)}: "
                "add them to `recipe.layers`, or choose among those"
            )
        if self.sizes[0] < 1:
            raise ValueError(f"`evaluation.sizes` {list(self.sizes)}: expected numbers from 1 on")
        for pool in self.pools:
            embed = self.sweep.clip.embed
            lengths.check("evaluation.sizes", self.sizes, embed, len(pool), pool.name)
        wrong = [pair for pair in self.asked.neurons if not self._exists(*pair)]
        if wrong:
            raise ValueError(
                f"neurons {wrong[:3]} (layer, neuron) are not in the run: it has layers {list(self.sweep.layers)} "
                f"of {self.sweep.clip.neurons} neurons"
            )

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        notes = [unread(pool) for pool in self.pools if pool.digest != self.sweep.pool.digest]
        notes.append(lengths.warning("evaluation.sizes", self.sizes[-1], self.sweep.clip.embed))
        notes += about_classes(self.classes, self.templates, self.sweep.clip)
        return "\n".join(
            [
                self.sweep.describe(),
                f"evidence  {counted(len(self.collection), 'labelled pictures')} of "
                f"{counted(len(self.classes), 'classes')}; closely: "
                f"layers {', '.join(map(str, self.detail_layers))}; pools "
                + ", ".join(map(_counted, self.pools)),
                f"classes   {self.labelled.join.describe(self.labelled.whole)}",
                *(f"note      {note}" for note in notes if note),
            ]
        )

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring the sweep and the evidence to completion, or all up to a kind; nothing is done twice.

        Raises as `Sweep.run` does.
        """
        run, planned, report = self.sweep.planned(runner)
        stages = self.stages(planned)
        results = (stages.swept.results, stages.results)
        return run, self.sweep.carried_out(stages.all, results, runner, run, report, until)

    def results(self, run: Run) -> EvidenceResults:
        """The stages that hold the evidence of a run."""
        return self.stages(Planned.of(run)).results

    def stages(self, planned: Planned) -> "EvidenceStages":
        """The stages of a planned run."""
        sweep, recipe = self.sweep, self.sweep.recipe
        swept = sweep.stages(planned)
        plan = PlanStage(self.collection, min(recipe.shard_size, SHARD), kind="evaluation")
        classifier = ClassifierStage(sweep.loader, self.classes, self.templates)
        pools = {pool.name: self._described(pool, swept) for pool in self.pools}
        sums = {name: pool.reconstructions for name, pool in pools.items()}
        pictures = PictureFeed(
            self.collection.reader, sweep.preprocess, planned=plan.name, cache=sweep.cache
        )
        passes = sweep.loader, pictures
        ablations = AblationsStage(
            *passes,
            sweep.lenses,
            recipe.batch_size,
            plan,
            swept.calibrate,
            classifier,
            swept.directions,
            sums,
            self.asked.reconstruction,
        )
        heads = self._head_effects(sweep.pictures)
        means = FirstOrderMeansStage(heads, swept.plan, planned.parts)
        first_order = FirstOrderStage(self._head_effects(pictures), plan, means, classifier)
        layers = self.detail_layers
        interventions = Interventions.of(sweep, planned, layers, self.asked.neurons)
        indirect = IndirectAblationsStage(
            *passes, layers, recipe.batch_size, plan, interventions.means, classifier
        )
        return EvidenceStages(
            swept,
            plan,
            classifier,
            pools,
            ablations,
            means,
            first_order,
            interventions,
            indirect,
        )

    def _described(self, pool: Pool, swept: SweepStages) -> "DescribedPool":
        """The stages that encode a pool, describe the layers in detail with it, and refit the descriptions.

        The sweep's own where they have all that is needed: the pursuit of more texts begins with that of fewer.
        """
        sweep, recipe, most = self.sweep, self.sweep.recipe, self.sizes[-1]
        texts = TextsStage(sweep.loader, pool)
        judged, descriptions = swept.pool, swept.descriptions
        if pool.digest != sweep.pool.digest or sweep.atoms < most:
            own = sweep.described(texts, swept.directions)
            judged = sweep.judged(texts, most)
            descriptions = replace(own, atoms=most, layers=self.detail_layers)
        reconstructions = ReconstructionsStage(
            texts,
            swept.directions,
            descriptions,
            pool.name,
            self.detail_layers,
            sweep.clip.neurons,
            recipe.block,
            self.sizes,
            recipe.preparation,
            recipe.device,
        )
        return DescribedPool(texts, judged, descriptions, reconstructions)

    def _head_effects(self, pictures: PictureFeed) -> HeadEffects:
        recipe = self.sweep.recipe
        return HeadEffects(
            self.sweep.loader, pictures, recipe.split, recipe.normalize, recipe.batch_size
        )

    def _exists(self, layer: int, neuron: int) -> bool:
        return layer in self.sweep.layers and 0 <= neuron < self.sweep.clip.neurons


def _counted(pool: Pool) -> str:
    left_out = f", dropped: {pool.left_out}" if pool.left_out else ""
    return f"{pool.name} ({len(pool):,}{left_out})"


@dataclass(frozen=True)
class DescribedPool:
    """The stages of one pool of texts."""

    texts: TextsStage
    judged: PoolStage
    descriptions: DescriptionsStage
    reconstructions: ReconstructionsStage

    @property
    def all(self) -> list[Stage]:
        """As a list."""
        return [self.texts, self.judged, self.descriptions, self.reconstructions]


@dataclass(frozen=True)
class EvidenceStages:
    """The stages of a sweep and of the evidence on top of it, in the order in which they read each other."""

    swept: SweepStages
    plan: PlanStage
    """Cuts the labelled pictures."""
    classifier: ClassifierStage
    pools: Mapping[str, DescribedPool]
    ablations: AblationsStage
    """All second-order ablations."""
    first_order_means: FirstOrderMeansStage
    first_order: FirstOrderStage
    """The ablations of attention layers and heads."""
    interventions: Interventions
    indirect_ablations: IndirectAblationsStage
    """Whole layers held at their means."""

    @property
    def all(self) -> list[Stage]:
        """As a list."""
        texts = [stage for pool in self.pools.values() for stage in pool.all]
        return [
            *self.swept.all,
            self.plan,
            self.classifier,
            *texts,
            self.ablations,
            self.first_order_means,
            self.first_order,
            *self.interventions.stages,
            self.indirect_ablations,
        ]

    @property
    def results(self) -> EvidenceResults:
        """Which of them hold the evidence."""
        ablations, first_order = self.ablations.name, self.first_order.name
        indirect = self.indirect_ablations.name
        return EvidenceResults(
            name=ablations,
            predictions=(ablations, first_order, indirect),
            ablations=ablations,
            first_order=first_order,
            indirect_directions=self.interventions.directions.name,
            directions=self.swept.directions.name,
            descriptions={name: pool.descriptions.name for name, pool in self.pools.items()},
        )
