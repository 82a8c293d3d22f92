"""A recipe carried out: its stages, its run in a store, and its report."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import pyarrow as pa

from clipneuron.config.recipe import Recipe
from clipneuron.config.values.memory import bytes_in
from clipneuron.data.opening import Collection
from clipneuron.data.text_pools import Pool
from clipneuron.engine.pipeline import Pipeline, distinct
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Stage
from clipneuron.lens.directions import is_by_effects
from clipneuron.models.clip.model import Clip
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.readers.cache import PixelCache
from clipneuron.readers.lenses import ClipLoader, Lenses, moved
from clipneuron.readers.pictures import PictureFeed
from clipneuron.readers.sweep import Planned
from clipneuron.reports.quantities import counted, in_words
from clipneuron.store import reports
from clipneuron.store.errors import RunMismatchError
from clipneuron.store.identity import differences, without
from clipneuron.store.outlines import Results
from clipneuron.store.store import Run, Store
from clipneuron.sweep import lengths
from clipneuron.sweep.inputs import (
    check_cache,
    check_calibration,
    model_of,
    pictures_of,
    readable,
    texts_of,
    unread,
)
from clipneuron.sweep.memory.models import shape_of
from clipneuron.sweep.memory.plans import MemoryPlan, fitted
from clipneuron.sweep.notes import many_large
from clipneuron.sweep.report import Findings
from clipneuron.sweep.results import SweepResults
from clipneuron.sweep.stages.calibrate import CalibrateStage
from clipneuron.sweep.stages.descriptions import DescriptionsStage
from clipneuron.sweep.stages.directions import DirectionsStage
from clipneuron.sweep.stages.effects import EffectsStage
from clipneuron.sweep.stages.merge import MergeStage, MergeTree
from clipneuron.sweep.stages.plan import PlanStage
from clipneuron.sweep.stages.pools import PoolStage
from clipneuron.sweep.stages.texts import TextsStage
from clipneuron.sweep.trees import FAN_IN
from clipneuron.version import NUMERICS, __version__

LATER = {"high_depth", "calibrate_on", "norms", "compile"}
"""Fields that came when there were runs already: in an identity where they are not their defaults."""


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
        clip = clip.compiled() if recipe.compile else clip
        for layer in recipe.layers:
            clip.weights.check_layer(layer)
        pool = readable(texts_of(recipe), clip)
        if recipe.atoms:
            lengths.check("recipe.atoms", [recipe.atoms], clip.embed, len(pool), pool.name)
        lengths.check("recipe.words", [recipe.words], clip.embed, recipe.words, pool.name)
        pictures = pictures_of(recipe, store.objects)
        check_calibration(recipe, len(pictures))
        check_cache(recipe)
        sweep = cls(recipe, store, clip, pictures, pool, extends, retry)
        _ = sweep.memory  # what cannot fit is refused here
        return sweep

    @cached_property
    def memory(self) -> MemoryPlan:
        """How the sweep's pass is made to fit; raises ValueError where it cannot be.

        Where the device is left open, workers may have a GPU that this process lacks: it is planned for one.
        """
        recipe, on_cpu = self.recipe, self.recipe.device.startswith("cpu")
        shape = shape_of(self.clip, recipe)
        return fitted(shape, self.layers, bytes_in(recipe.memory), recipe.precision, on_cpu)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers of the run, in rising order."""
        return tuple(sorted(set(self.recipe.layers))) or tuple(range(self.clip.layers - 1))

    def large(self, pictures: int) -> tuple[int, ...]:
        """Layers whose directions may be cheaper to find from effects: remainders of N pictures span N - 1 axes."""
        embed, paths_of = self.clip.embed, self.clip.weights.paths
        axes = min(embed, (self.recipe.calibrate_on or pictures) - 1)
        sizes = ((layer, (paths_of(layer), axes, self.recipe.top, embed)) for layer in self.layers)
        return tuple(layer for layer, size in sizes if is_by_effects(*size))

    @property
    def atoms(self) -> int:
        """Texts of the long descriptions."""
        usual = lengths.usual(self.clip.embed, len(self.pool), self.recipe.preparation)
        return self.recipe.atoms or usual

    @cached_property
    def identity(self) -> dict[str, object]:
        """Everything that changes the numbers of the sweep; descriptions are set apart by their label."""
        recipe = self.recipe
        precise = {"precision": "float16"} if self.memory.precision == "float16" else {}
        # 2: scores of attention and means of texts in float32
        half = {} if recipe.dtype == "float32" else {"half_precision": 2}
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
            # as runs have been since before there was a choice
            **half,
            **precise,
            **recipe.model_dump(include=LATER, exclude_defaults=True),
        }

    def open(self) -> Run:
        """The run in the store: new, or the one that was begun before.

        Raises RunMismatchError when the run that this one extends differs in more than its pictures.
        """
        if self.extends:
            return self._extended()
        details = {"recipe": self.recipe.model_dump(mode="json"), "clipneuron": __version__}
        return self.store.open_run(self.recipe.name, self.identity, details)

    def plan(self) -> PlanStage:
        """The stage that the others are cut by."""
        return PlanStage(self.collection, self.recipe.shard_size, self.retry)

    def texts(self) -> TextsStage:
        """The stage that encodes the pool, whatever the plan is."""
        return TextsStage(self.loader, self.pool)

    def planned(self, runner: Runner) -> tuple[Run, Planned, StageReport]:
        """The run with its plan brought to completion, what is planned, and what the stage did; raises as `run`."""
        run = self.open()
        (report,) = runner.run([self.plan()], run)
        return run, Planned.of(run), report

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring every stage to completion, or all up to a kind; what is committed already is not done again.

        Raises ValueError for a kind that there is not, `clipneuron.engine.runner.RunIncompleteError`, and
        StoreError from the store.
        """
        run, planned, report = self.planned(runner)
        stages = self.stages(planned)
        return run, self.carried_out(stages.all, [stages.results], runner, run, report, until)

    def carried_out(
        self,
        stages: Sequence[Stage],
        results: Iterable[Results],
        runner: Runner,
        run: Run,
        plan: StageReport,
        until: str | None,
    ) -> list[StageReport]:
        """The reports of a planned line of work, this one or one on top of it; its results are recorded first."""
        for item in results:
            run.announce(item)
        return self.pipeline(stages).run(runner, run, until, begun=[plan])

    def plan_only(self, runner: Runner) -> tuple[Run, StageReport]:
        """Bring the plan to completion and record in the store what is to follow; `run` goes on from there."""
        run, planned, report = self.planned(runner)
        pipeline = self.pipeline(self.stages(planned).all)
        runner.announce(pipeline.stages[1:], run)
        pipeline.announce(run)
        return run, report

    def pipeline(self, stages: Sequence[Stage]) -> Pipeline:
        """A pipeline that the recipe asks for."""
        return Pipeline(distinct(stages), {"recipe": self.recipe.model_dump(mode="json")})

    def planned_next(self) -> pa.Table:
        """The rows that the table `plan` is still to gain, none if it has all; raises as the stage `plan` does."""
        run = self.open()
        return self.plan().part(run.read("plan", "plan") if run.done("plan") else None)

    def stages(self, planned: Planned) -> "SweepStages":
        """The stages of a planned run."""
        recipe, lenses, neurons = self.recipe, self.lenses, self.clip.neurons
        plan, texts = self.plan(), self.texts()
        pool = self.judged(texts, self.atoms)
        passes = self.loader, self.pictures, lenses, recipe.batch_size
        calibrate = self._calibrate(plan)
        shared = plan, calibrate, planned.parts, self.memory.groups
        effects = EffectsStage(
            *passes, recipe.top, *shared, recipe.norms, bool(recipe.calibrate_on)
        )
        shape = self.layers, neurons, recipe.block, FAN_IN
        tree = MergeTree.over(effects, planned.shards, *shape, planned.parts)
        on_cpu = partial(moved, self.clip, "cpu")
        blocks = on_cpu, lenses, neurons, recipe.block, tree, calibrate
        directions = DirectionsStage(
            *blocks, planned.parts, recipe.device, self.large(len(planned.pictures))
        )
        descriptions = self.described(texts, directions)
        merges = tree.levels
        return SweepStages(plan, texts, pool, calibrate, effects, merges, directions, descriptions)

    def _calibrate(self, plan: PlanStage) -> CalibrateStage:
        recipe = self.recipe
        # Shards of a few pictures are no other stage's: keeping their pixels would serve nobody.
        pictures = replace(self.pictures, cache=None) if recipe.calibrate_on else self.pictures
        passes = self.loader, pictures, self.lenses, recipe.batch_size
        return CalibrateStage(*passes, plan, recipe.calibrate_on)

    def judged(self, texts: TextsStage, atoms: int) -> PoolStage:
        """The stage that judges whether an encoded pool allows long descriptions of so many texts."""
        return PoolStage(texts, texts.label, atoms, self.recipe.preparation)

    def described(self, texts: TextsStage, directions: DirectionsStage) -> DescriptionsStage:
        """The stage that describes all layers with an encoded pool, as the recipe does with its own."""
        recipe = self.recipe
        return DescriptionsStage(
            texts,
            directions,
            texts.label,
            self.layers,
            neurons=self.clip.neurons,
            block=recipe.block,
            atoms=self.atoms,
            words=recipe.words,
            negative=recipe.negative_words,
            preparation=recipe.preparation,
            device=recipe.device,
        )

    def results(self, run: Run) -> SweepResults:
        """The stages that hold the run's results."""
        return self.stages(Planned.of(run)).results

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        clip, recipe = self.clip, self.recipe
        layers = ", ".join(map(str, self.layers))
        notes = [
            many_large(recipe.top, len(self.collection)),
            unread(self.pool),
            lengths.warning("recipe.atoms", self.atoms, clip.embed),
            lengths.warning("recipe.words", recipe.words, clip.embed),
        ]
        means = f"means     of {recipe.calibrate_on:,} pictures, spread evenly"
        return "\n".join(
            [
                f"model     {clip.name}: {counted(clip.layers, 'layers')} of {clip.neurons:,} neurons",
                f"pictures  {len(self.collection):,}, {self.collection.classes}"
                + _aside("skipped", self.collection.skipped),
                f"texts     {len(self.pool):,} of {self.pool.name}{_aside('dropped', self.pool.dropped)}",
                *([means] if recipe.calibrate_on else []),
                f"layers    {layers}; split {recipe.split}, {'' if recipe.normalize else 'not '}normalised",
                f"words     {recipe.words} per neuron; long descriptions of {self.atoms} in {clip.embed} dimensions",
                f"memory    {self.memory.describe()}",
                *(f"note      {note}" for note in notes if note),
            ]
        )

    def findings(self, run: Run, per_layer: int) -> Findings:
        """The findings of the finished run."""
        return Findings.of(run, self.results(run), per_layer)

    def write_report(self, run: Run, findings: Findings) -> dict[str, str]:
        """Store the findings as JSON and as a contact sheet; where they are, by name."""
        planned = Planned.of(run)
        title = f"{self.clip.name}, {counted(len(self.collection), 'pictures')}, texts: {self.pool.name}"
        sheet = findings.sheet(lambda index: self.collection.read(planned.pictures[index]), title)
        data = json.dumps(findings.as_json(), indent=1, allow_nan=False).encode()
        results = self.stages(planned).results
        files = {"contact-sheet.png": sheet, results.page: data}
        places = reports.put(run, results, files)
        return {
            "contact sheet": places["contact-sheet.png"],
            "findings": places[results.page],
            "tables": run.url,
        }

    def _extended(self) -> Run:
        run = self.store.find_run(self.extends)
        found = differences(without(run.identity, "images"), without(self.identity, "images"))
        if found:
            raise RunMismatchError(run.name, found)
        return run

    @property
    def loader(self) -> ClipLoader:
        """The model on the recipe's device, as workers get it."""
        return partial(moved, self.clip, self.recipe.device)

    @property
    def preprocess(self) -> Preprocess:
        """From the bytes of a picture to the model's pixels, as the recipe asks."""
        return replace(self.clip.preprocess, high_depth=self.recipe.high_depth)

    @property
    def pictures(self) -> PictureFeed:
        """The pictures as the model reads them."""
        return PictureFeed(self.collection.reader, self.preprocess, cache=self.cache)

    @property
    def cache(self) -> PixelCache | None:
        """Where decoded shards are kept, None where they are not."""
        recipe = self.recipe
        return PixelCache.at(recipe.cache, recipe.cache_size) if recipe.cache else None

    @property
    def lenses(self) -> Lenses:
        """Through which the run's layers are looked at."""
        half = self.memory.precision == "float16"
        return Lenses(self.layers, self.recipe.split, self.recipe.normalize, half)


@dataclass(frozen=True)
class SweepStages:
    """The stages of a sweep, in the order in which they read each other."""

    plan: PlanStage
    texts: TextsStage
    """Early: a model without a text tower should not cost two passes over the pictures."""
    pool: PoolStage
    """Early too: neither should a pool that is too poor."""
    calibrate: CalibrateStage
    effects: EffectsStage
    merges: tuple[MergeStage, ...]
    directions: DirectionsStage
    descriptions: DescriptionsStage

    @property
    def all(self) -> list[Stage]:
        """As a list."""
        passes = [self.plan, self.texts, self.pool, self.calibrate, self.effects]
        return [*passes, *self.merges, self.directions, self.descriptions]

    @property
    def results(self) -> SweepResults:
        """Which of them hold the results."""
        return SweepResults(
            name=self.descriptions.name,
            layers=self.descriptions.layers,
            directions=self.directions.name,
            descriptions=self.descriptions.name,
        )


def _aside(what: str, counts: Mapping[str, int]) -> str:
    shown = in_words(counts)
    return f" ({what}: {shown})" if shown else ""
