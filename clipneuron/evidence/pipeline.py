"""The paper's evidence for a recipe: the sweep, then every experiment of Sec. 3 and 4 and of App. A.1, A.2 and A.4."""

from dataclasses import dataclass, replace
from functools import cached_property

from clipneuron.config.evaluation import Evaluation
from clipneuron.config.recipe import Recipe
from clipneuron.data.opening import Collection
from clipneuron.data.text_pools import Pool
from clipneuron.engine.pipeline import mark, up_to
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Stage
from clipneuron.evidence.inputs import evaluation_pools_of, labelled_pictures_of, templates_of
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
from clipneuron.store.store import Run, Store
from clipneuron.sweep.interventions import Interventions
from clipneuron.sweep.pipeline import Sweep, parts_of
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.sweep.stages.descriptions import DescriptionsStage
from clipneuron.sweep.stages.plan import PlanStage
from clipneuron.sweep.stages.texts import TextsStage

SHARD = 256
"""Labelled pictures per commit, at most: unlike the sweep's, their shards leave little behind."""


@dataclass(frozen=True)
class Reproduction:
    """A sweep and the evidence that is gathered on top of it, in the same run."""

    sweep: Sweep
    collection: Collection
    """The labelled pictures."""
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    pools: tuple[Pool, ...]

    @classmethod
    def of(cls, recipe: Recipe, store: Store, clip: Clip | None = None) -> "Reproduction":
        """Resolve a recipe with its evaluation; raises ValueError for what does not fit, before any long work."""
        sweep = Sweep.of(recipe, store, clip)
        collection, classes = labelled_pictures_of(recipe, store.objects)
        pools = evaluation_pools_of(recipe, classes)
        found = cls(sweep, collection, classes, templates_of(recipe), pools)
        found.check()
        return found

    @property
    def asked(self) -> Evaluation:
        """The recipe's evaluation."""
        return self.sweep.recipe.evaluation

    @cached_property
    def detail_layers(self) -> tuple[int, ...]:
        """The layers of Fig. 4 and Table 1, in rising order."""
        third_from_last = self.sweep.clip.layers - 3
        return tuple(sorted({*self.asked.detail_layers})) or (third_from_last,)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of Fig. 4, in rising order."""
        return tuple(sorted({*self.asked.sizes}))

    def check(self) -> None:
        """Raises ValueError for layers that are not swept, sizes that no pool allows and neurons that do not exist."""
        missing = sorted({*self.detail_layers} - {*self.sweep.layers})
        if missing:
            raise ValueError(
                f"--detail-layers {missing} are not among the layers of the run, {list(self.sweep.layers)}: "
                "add them to --layers, or choose among those"
            )
        for pool in self.pools:
            most = min(len(pool), self.sweep.clip.embed)
            if not self.sizes or self.sizes[0] < 1 or self.sizes[-1] > most:
                raise ValueError(
                    f"--sizes {list(self.sizes)} do not fit the pool {pool.name}: expected numbers from 1 to {most}"
                )
        wrong = [pair for pair in self.asked.neurons if not self._exists(*pair)]
        if wrong:
            raise ValueError(
                f"neurons {wrong[:3]} (layer, neuron) are not in the run: it has layers {list(self.sweep.layers)} "
                f"of {self.sweep.clip.neurons} neurons"
            )

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        return "\n".join(
            [
                self.sweep.describe(),
                f"evidence  {len(self.collection):,} labelled pictures of {len(self.classes):,} classes; closely: "
                f"layers {', '.join(map(str, self.detail_layers))}; pools "
                + ", ".join(f"{pool.name} ({len(pool):,})" for pool in self.pools),
            ]
        )

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring the sweep and the evidence to completion, or the evidence up to a stage; nothing is done twice.

        Raises as `Sweep.run` does.
        """
        run, reports = self.sweep.run(runner)
        reports += runner.run([self.plan], run)
        stages = self.stages(run)
        run.announce(self.sweep.order([*self.sweep.stages(run), self.plan, *stages]))
        return run, reports + runner.run(up_to(until, stages), run)

    @property
    def plan(self) -> PlanStage:
        """The stage that cuts the labelled pictures."""
        size = min(self.sweep.recipe.shard_size, SHARD)
        return PlanStage(self.collection, size, name=f"evaluation-{self.collection.digest[:8]}")

    def stages(self, run: Run) -> list[Stage]:
        """The evidence's stages, in the order in which they read each other."""
        texts = [stage for pool in self.pools for stage in self._texts(pool, run)]
        return [
            self.classifier,
            *texts,
            self.ablations(run),
            self._first_order_means(run),
            self.first_order(run),
            *self.interventions(run).stages,
            self.indirect_ablations(run),
        ]

    @property
    def classifier(self) -> ClassifierStage:
        """The stage that encodes the classes."""
        digest = mark(self.classes, self.templates)
        return ClassifierStage(
            f"classifier-{digest}", self.sweep.loader, self.classes, self.templates
        )

    def descriptions(self, pool: Pool, run: Run) -> tuple[TextsStage, DescriptionsStage]:
        """The stages that encode a pool and describe the layers in detail with it.

        The sweep's own where they have all that is needed: the pursuit of more texts begins with that of fewer.
        """
        sweep, recipe, most = self.sweep, self.sweep.recipe, self.sizes[-1]
        texts = TextsStage(sweep.loader, pool)
        if pool.digest == sweep.pool.digest and recipe.atoms >= most:
            return texts, sweep.descriptions(run)
        digest = mark(pool.digest, recipe.preparation, most, self.detail_layers)
        label = sweep.key(f"{pool.name}-{recipe.preparation}-{most}-{digest}", run)
        own = replace(sweep.descriptions(run), texts=texts.name, label=label, atoms=most)
        return texts, replace(own, layers=self.detail_layers)

    def ablations(self, run: Run) -> AblationsStage:
        """The stage with all second-order ablations."""
        sweep = self.sweep
        sums = {pool.name: self._reconstructions(pool, run).name for pool in self.pools}
        digest = mark(self._evaluated, self.asked.reconstruction, sums)
        return AblationsStage(
            sweep.key(f"ablations-{digest}", run),
            sweep.loader,
            self._pictures,
            sweep.lenses,
            sweep.recipe.batch_size,
            self.classifier.name,
            sweep.keys(run).directions,
            sums,
            self.asked.reconstruction,
        )

    def first_order(self, run: Run) -> FirstOrderStage:
        """The stage with the ablations of attention layers and heads."""
        name = self.sweep.key(f"first-order-{mark(self._evaluated)}", run)
        means = self._first_order_means(run).name
        effects = self._head_effects(self._pictures)
        return FirstOrderStage(name, effects, means, self.classifier.name)

    def indirect_ablations(self, run: Run) -> IndirectAblationsStage:
        """The stage that holds whole layers at their means."""
        sweep, digest = self.sweep, mark(self._evaluated, self.detail_layers)
        return IndirectAblationsStage(
            sweep.key(f"indirect-ablations-{digest}", run),
            sweep.loader,
            self._pictures,
            self.detail_layers,
            sweep.recipe.batch_size,
            self.interventions(run).means.name,
            self.classifier.name,
        )

    def interventions(self, run: Run) -> Interventions:
        """The stages with indirect effects."""
        return Interventions(self.sweep, run, self.detail_layers, self.asked.neurons)

    def _texts(self, pool: Pool, run: Run) -> list[Stage]:
        texts, descriptions = self.descriptions(pool, run)
        return [texts, descriptions, self._reconstructions(pool, run)]

    def _reconstructions(self, pool: Pool, run: Run) -> ReconstructionsStage:
        texts, descriptions = self.descriptions(pool, run)
        recipe = self.sweep.recipe
        return ReconstructionsStage(
            texts.name,
            self.sweep.keys(run).directions,
            descriptions.name,
            self.detail_layers,
            self.sweep.clip.neurons,
            recipe.block,
            self.sizes,
            recipe.preparation,
            recipe.device,
        )

    def _first_order_means(self, run: Run) -> FirstOrderMeansStage:
        effects = self._head_effects(self.sweep.pictures)
        name = self.sweep.key("first-order-means", run)
        return FirstOrderMeansStage(effects, parts_of(run), name)

    def _head_effects(self, pictures: PictureFeed) -> HeadEffects:
        recipe = self.sweep.recipe
        return HeadEffects(
            self.sweep.loader, pictures, recipe.split, recipe.normalize, recipe.batch_size
        )

    @property
    def _pictures(self) -> PictureFeed:
        preprocess = self.sweep.clip.preprocess
        return PictureFeed(self.collection.reader, preprocess, planned=self.plan.name)

    @property
    def _evaluated(self) -> str:
        return f"{self.plan.name} {self.classifier.name}"

    def _exists(self, layer: int, neuron: int) -> bool:
        return layer in self.sweep.layers and 0 <= neuron < self.sweep.clip.neurons
