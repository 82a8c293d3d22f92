"""A recipe carried out: its stages, its run in a store, and its report."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import pyarrow as pa

from clipneuron.config.recipe import Recipe
from clipneuron.data.opening import Collection
from clipneuron.data.text_pools import Pool
from clipneuron.engine.pipeline import up_to
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Stage
from clipneuron.models.clip.model import Clip
from clipneuron.readers.lenses import ClipLoader, Lenses, placed
from clipneuron.readers.pictures import PictureFeed
from clipneuron.readers.sweep import planned_pictures, planned_shards
from clipneuron.store.errors import RunMismatchError
from clipneuron.store.identity import differences
from clipneuron.store.outlines import Order
from clipneuron.store.store import Run, Store
from clipneuron.sweep.inputs import model_of, pictures_of, scene_truth, texts_of
from clipneuron.sweep.neurons import Keys
from clipneuron.sweep.report import Findings
from clipneuron.sweep.stages.calibrate import CalibrateStage
from clipneuron.sweep.stages.descriptions import DescriptionsStage
from clipneuron.sweep.stages.directions import DirectionsStage
from clipneuron.sweep.stages.effects import EffectsStage
from clipneuron.sweep.stages.explanations import ExplanationsStage
from clipneuron.sweep.stages.merge import MergeTree
from clipneuron.sweep.stages.plan import PlanStage
from clipneuron.sweep.stages.texts import TextsStage
from clipneuron.version import NUMERICS, __version__

FAN_IN = 16
"""Summaries of a block of neurons that one task merges."""


@dataclass(frozen=True)
class Sweep:
    """A recipe with everything it names at hand."""

    recipe: Recipe
    store: Store
    clip: Clip
    collection: Collection
    pool: Pool
    extends: str = ""
    """The run whose collection has grown, by name; empty for the run that the recipe itself names."""
    retry: frozenset[tuple[str, str]] = frozenset()
    """Pictures to try again in that run, each with the shard that it failed in."""

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        store: Store,
        clip: Clip | None = None,
        *,
        extends: str = "",
        retry: frozenset[tuple[str, str]] = frozenset(),
    ) -> "Sweep":
        """Resolve a recipe; `store` is where its run is, and the pictures of the demo world.

        Raises ValueError for whatever does not exist or does not fit, before any long work.
        """
        clip = clip or model_of(recipe)
        for layer in recipe.layers:
            clip.weights.check_layer(layer)
        return cls(
            recipe,
            store,
            clip,
            pictures_of(recipe, store.objects),
            texts_of(recipe),
            extends,
            retry,
        )

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers of the run, in rising order."""
        return tuple(sorted(set(self.recipe.layers))) or tuple(range(self.clip.layers - 1))

    @cached_property
    def identity(self) -> dict[str, object]:
        """Everything that changes the numbers of the sweep; descriptions are set apart by their label."""
        recipe = self.recipe
        return {
            "model": self.clip.digest,
            "preprocess": repr(self.clip.preprocess),
            "images": self.collection.digest,
            "layers": list(self.layers),
            "split": recipe.split,
            "normalize": recipe.normalize,
            "top": recipe.top,
            "dtype": recipe.dtype,
            "shard_size": recipe.shard_size,
            "block": recipe.block,
            "numerics": NUMERICS,
        }

    @cached_property
    def label(self) -> str:
        """What sets the descriptions apart from others of the same sweep."""
        recipe = self.recipe
        exact = f"{self.pool.digest} {recipe.preparation} {recipe.atoms}"
        digest = hashlib.sha256(exact.encode()).hexdigest()[:8]
        return f"{self.pool.name}-{recipe.preparation}-{recipe.atoms}-{digest}"

    def open(self) -> Run:
        """The run in the store: new, or the one that was begun before.

        Raises RunMismatchError when the run that this one extends differs in more than its pictures.
        """
        if self.extends:
            return self._extended()
        details = {"recipe": self.recipe.model_dump(mode="json"), "clipneuron": __version__}
        return self.store.open_run(self.recipe.name, self.identity, details)

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring every stage to completion, or all up to one; what is committed already is not done again.

        Raises `clipneuron.engine.runner.RunIncompleteError`, and StoreError from the store.
        """
        run = self.open()
        planned = runner.run([self.plan()], run)
        stages = self.stages(run)
        run.announce(self.order(stages))
        return run, planned + runner.run(up_to(until, stages), run)

    def plan_only(self, runner: Runner) -> tuple[Run, StageReport]:
        """Bring the plan to completion and say in the store what is to follow; `run` goes on from there."""
        run = self.open()
        (report,) = runner.run([self.plan()], run)
        stages = self.stages(run)
        runner.announce(stages, run)
        run.announce(self.order(stages))
        return run, report

    def plan(self) -> PlanStage:
        """The stage that the others are cut by."""
        return PlanStage(self.collection, self.recipe.shard_size, self.retry)

    def planned_next(self) -> pa.Table:
        """The rows that the table `plan` is still to gain, none if it has all; raises as the stage `plan` does."""
        run = self.open()
        return self.plan().part(run.read("plan", "plan") if run.done("plan") else None)

    def stages(self, run: Run) -> list[Stage]:
        """The stages of a planned run, in the order in which they read each other."""
        tree = self._tree(run)
        stages = [*self._sweeping(run), *tree.levels, self._directions(run, tree)]
        stages.append(self.descriptions(run))
        return stages + ([self._explanations(run)] if self._knows_contents else [])

    def keys(self, run: Run) -> Keys:
        """The stages whose tables are the run's results."""
        explanations = self._explanations(run).name if self._knows_contents else None
        return Keys(self.key("directions", run), self.descriptions(run).name, explanations)

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        clip, recipe = self.clip, self.recipe
        layers = ", ".join(map(str, self.layers))
        few = len(self.collection) <= recipe.top
        warning = f"note      top {recipe.top} of {len(self.collection)} pictures: all of them count as significant"
        return "\n".join(
            [
                f"model     {clip.name}: {clip.layers} layers of {clip.neurons:,} neurons",
                f"pictures  {len(self.collection):,}{_aside('passed over', self.collection.skipped)}",
                f"texts     {len(self.pool):,} of {self.pool.name}{_aside('dropped', self.pool.dropped)}",
                f"layers    {layers}; split {recipe.split}, {'' if recipe.normalize else 'not '}normalised",
                *([warning] if few else []),
            ]
        )

    def findings(self, run: Run, per_layer: int) -> Findings:
        """What the finished run says."""
        return Findings.of(run, self.layers, self.keys(run), per_layer)

    def write_report(self, run: Run, findings: Findings) -> dict[str, str]:
        """Store the findings as JSON and as a contact sheet; where they are, by name."""
        listing = planned_pictures(run, parts_of(run))
        title = f"{self.clip.name}, {len(self.collection):,} pictures, texts: {self.pool.name}"
        sheet = findings.sheet(lambda index: self.collection.read(listing[index]), title)
        data = json.dumps(findings.as_json(), indent=1, allow_nan=False).encode()
        folder = self.key(self.label, run)
        return {
            "contact sheet": run.put_file(f"{folder}/contact-sheet.png", sheet),
            "findings": run.put_file(f"{folder}/findings.json", data),
            "tables": run.url,
        }

    def order(self, stages: Sequence[Stage]) -> Order:
        """What to say in the store of the stages to come."""
        names = ("plan", *(stage.name for stage in stages))
        return Order(stages=names, details={"recipe": self.recipe.model_dump(mode="json")})

    def _extended(self) -> Run:
        run = self.store.find_run(self.extends)
        found = differences(_without_images(run.identity), _without_images(self.identity))
        if found:
            raise RunMismatchError(run.name, found)
        return run

    @property
    def loader(self) -> ClipLoader:
        """The model on the recipe's device, as workers get it."""
        return partial(_moved, self.clip, self.recipe.device)

    @property
    def pictures(self) -> PictureFeed:
        """The pictures as the model reads them."""
        return PictureFeed(self.collection.reader, self.clip.preprocess)

    @property
    def lenses(self) -> Lenses:
        """Through which the run's layers are looked at."""
        return Lenses(self.layers, self.recipe.split, self.recipe.normalize)

    @property
    def texts(self) -> TextsStage:
        """The stage that encodes the pool."""
        return TextsStage(self.loader, self.pool)

    def _sweeping(self, run: Run) -> list[Stage]:
        """The stages with the model."""
        clip, pictures, lenses, recipe = self.loader, self.pictures, self.lenses, self.recipe
        return [
            # Early: a model without a text tower should not cost two passes over the pictures.
            self.texts,
            CalibrateStage(clip, pictures, lenses, recipe.batch_size),
            EffectsStage(clip, pictures, lenses, recipe.batch_size, recipe.top, parts_of(run)),
        ]

    def _tree(self, run: Run) -> MergeTree:
        swept = planned_shards(run, parts_of(run))
        shape = (self.layers, self.clip.neurons, self.recipe.block, FAN_IN)
        return MergeTree.over(swept, *shape, suffix=self.key("", run))

    def _directions(self, run: Run, tree: MergeTree) -> Stage:
        recipe = self.recipe
        return DirectionsStage(
            partial(_moved, self.clip, "cpu"),
            self.lenses,
            self.clip.neurons,
            recipe.block,
            tree,
            self.key("directions", run),
        )

    def descriptions(self, run: Run) -> DescriptionsStage:
        """The stage that describes all layers with the recipe's pool."""
        recipe = self.recipe
        return DescriptionsStage(
            self.texts.name,
            self.key("directions", run),
            self.key(self.label, run),
            self.layers,
            neurons=self.clip.neurons,
            block=recipe.block,
            atoms=recipe.atoms,
            preparation=recipe.preparation,
            device=recipe.device,
        )

    @property
    def _knows_contents(self) -> bool:
        return self.recipe.images == "demo"

    def _explanations(self, run: Run) -> Stage:
        names = tuple(picture.image for picture in planned_pictures(run, parts_of(run)))
        return ExplanationsStage(
            partial(scene_truth, self.recipe.seed, names),
            self.key("directions", run),
            self.descriptions(run).name,
            self.key(self.label, run),
            self.layers,
            self.clip.neurons,
            self.recipe.words,
            planned_shards(run, parts_of(run)),
        )

    def key(self, name: str, run: Run) -> str:
        """The name of what depends on all pictures: another one for every part that the plan gained."""
        parts = parts_of(run)
        return name if parts == 1 else f"{name}-to-part-{parts - 1:04d}"


def parts_of(run: Run) -> int:
    """How many parts the plan has: one, and one more for each time the collection grew."""
    return max(1, len(run.done("plan")))


def _without_images(identity: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in identity.items() if name != "images"}


def _aside(what: str, counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{count} {why}" for why, count in counts.items() if count)
    return f" ({what}: {shown})" if shown else ""


def _moved(clip: Clip, device: str) -> Clip:
    return clip.on(placed(device))
