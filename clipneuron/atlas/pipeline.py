"""The atlas of a finished run: what its pages show is computed, then pages are made of it; `site` writes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from clipneuron.atlas.gather.edition import edition
from clipneuron.atlas.gather.paged import PagesStage
from clipneuron.atlas.gather.pictured import Gallery
from clipneuron.atlas.gather.shared import About
from clipneuron.atlas.gather.sources import Compared, Sources
from clipneuron.atlas.inputs import check_finished, planned_of, rows_of, sources_of, state_of
from clipneuron.atlas.mapped import mapped
from clipneuron.atlas.results import AtlasResults
from clipneuron.atlas.stages.heats import HeatsStage
from clipneuron.atlas.stages.neighbours import NeighboursStage
from clipneuron.atlas.stages.pages import (
    FrontPagesStage,
    NeuronPagesStage,
    PicturePagesStage,
    WordPagesStage,
)
from clipneuron.atlas.stages.painted import PaintedThumbnailsStage
from clipneuron.atlas.stages.profiles import ProfilesStage
from clipneuron.atlas.stages.shown import ShownStage
from clipneuron.atlas.stages.thumbnails import ThumbnailsStage
from clipneuron.atlas.tiles import Sizes
from clipneuron.config.atlas import Atlas
from clipneuron.config.recipe import Recipe
from clipneuron.demo import CAVEAT
from clipneuron.engine.pipeline import distinct
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Stage, Upstream
from clipneuron.models.clip.model import Clip
from clipneuron.readers.lenses import moved
from clipneuron.readers.sweep import NeuronBlock, Planned, neuron_blocks
from clipneuron.reports.quantities import counted
from clipneuron.store.store import Run, Store, fingerprint
from clipneuron.sweep.pipeline import Sweep, SweepStages
from clipneuron.version import __version__

Neurons = Sequence[tuple[int, int]]
"""Layers and numbers."""


@dataclass(frozen=True)
class AtlasLine:
    """A finished sweep, and the pages on top of it, in the same run."""

    sweep: Sweep
    run: Run
    sources: Sources
    chosen: Neurons = ()
    """The neurons that cards are made of; none for all, which makes a site."""
    against: Compared | None = None

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        store: Store,
        run: Run | None = None,
        *,
        clip: Clip | None = None,
        chosen: Neurons = (),
        against: Compared | None = None,
    ) -> "AtlasLine":
        """Resolve a recipe, or the one that a run was made by.

        Raises ValueError for a run that is not finished, for neurons that it does not have, and for whatever of its
        model and pictures does not exist any more.
        """
        sweep = Sweep.of(recipe, store, clip, extends=run.name if run else "")
        run = run or store.find_run(f"{recipe.name}-{fingerprint(sweep.identity)}")
        swept = sweep.stages(planned_of(run))
        check_finished(run, swept.all)
        missing = [f"{layer}:{n}" for layer, n in chosen if not _has(sweep, layer, n)]
        if missing:
            raise ValueError(
                f"run {run.name} has no neuron {', '.join(missing)}: it has neurons 0 to {sweep.clip.neurons - 1} of "
                f"the layers {', '.join(map(str, sweep.layers))}"
            )
        return cls(sweep, run, sources_of(run, swept.results, swept.texts.name), chosen, against)

    def beside(self, against: Compared) -> "AtlasLine":
        """The same, with each neuron beside that of another run."""
        return replace(self, against=against)

    @property
    def asked(self) -> Atlas:
        """The recipe's atlas."""
        return self.sweep.recipe.atlas

    @cached_property
    def sizes(self) -> Sizes:
        """How small pictures become."""
        return Sizes(self.asked.tile, self.asked.large, self.asked.quality)

    def describe(self) -> str:
        """What is about to be made, in a few lines."""
        sweep, sources = self.sweep, self.sources
        neurons = len(self.chosen) or len(sweep.layers) * sweep.clip.neurons
        scored = [pool.name for pool in sources.pools if pool.scores]
        has = {
            "scores of words": bool(scored),
            "classes": bool(sources.classifier),
            "concepts of its pictures": bool(sources.concepts),
            "ablations": bool(sources.predictions),
            "adversarial pictures": bool(sources.attack),
        }
        mapped = 0 if self.chosen or not sources.classifier else self.asked.class_maps
        maps = f", class maps of up to {mapped:,}" if mapped else ""
        there = ", ".join(name for name, known in has.items() if known) or "nothing else"
        return "\n".join(
            [
                f"run       {self.run.name}: {self.title}",
                f"neurons   {neurons:,} of layers {', '.join(map(str, sweep.layers))}",
                f"words     {', '.join(pool.name for pool in sources.pools) or 'none'}; also {there}",
                f"pictures  {self.asked.top} top ones of each neuron and {len(self.asked.quantiles)} others, "
                f"{'with' if self.asked.heats else 'without'} heats{maps}",
                *([f"against   {self.against.run.name}"] if self.against else []),
            ]
        )

    @property
    def title(self) -> str:
        """Model and pictures in a few words."""
        return f"{self.sweep.clip.name} on {counted(len(self.sweep.collection), 'pictures')}"

    def bring(self, runner: Runner) -> tuple[list[StageReport], "AtlasStages"]:
        """Bring all stages to completion; what is committed already is not done again.

        Raises as `Runner.run` does. The sweep is left as it is, whatever its collection has grown by since.
        """
        stages = self.stages()
        if not self.chosen:
            self.run.announce(stages.results)
            pipeline = self.sweep.pipeline(distinct([*stages.swept.all, *stages.all]))
            pipeline.announce(self.run)
        return runner.run(stages.all, self.run), stages

    def stages(self) -> "AtlasStages":
        """The stages of the atlas on those of the sweep; raises StoreError."""
        sweep, recipe, asked = self.sweep, self.sweep.recipe, self.asked
        swept = sweep.stages(Planned.of(self.run))
        whole, blocks = not self.chosen, self.blocks
        shown = ShownStage(
            chosen=self._by_layer,
            top=asked.top,
            quantiles=asked.quantiles,
            active=asked.active,
            effects=swept.effects,
            directions=swept.directions,
            whole=whole,
        )
        thumbnails = ThumbnailsStage(
            pictures=sweep.pictures, sizes=self.sizes, plan=swept.plan, shown=shown
        )
        heats = HeatsStage(
            clip=sweep.loader,
            pictures=sweep.pictures,
            lenses=sweep.lenses,
            batch_size=recipe.batch_size,
            plan=swept.plan,
            means=swept.calibrate,
            directions=swept.directions,
            shown=shown,
        )
        profiles = ProfilesStage(
            clip=partial(moved, sweep.clip, "cpu"),
            lenses=sweep.lenses,
            blocks=blocks,
            tree=swept.directions.tree,
            means=swept.calibrate,
            directions=swept.directions,
            whole=whole,
        )
        neighbours = NeighboursStage(
            blocks=blocks, near=asked.near, directions=swept.directions, whole=whole
        )
        makers: tuple[Stage, ...] = (shown, thumbnails, profiles, neighbours)
        makers = (*makers, heats) if asked.heats else makers
        return self._paged(swept, makers)

    def _paged(self, swept: SweepStages, makers: tuple[Stage, ...]) -> "AtlasStages":
        """The pages on top of the stages that make what they show."""
        names: dict[str, Any] = {stage.kind: stage.name for stage in makers}
        state = state_of(self.run, self.sources)
        painted = self._painted(state)
        maps = self._mapped(swept, makers[0], painted)
        names |= {stage.kind.replace("-", "_"): stage.name for stage in maps}
        sources = replace(self.sources, painted=painted[0].name if painted else "", **names)
        common: dict[str, Any] = {
            "sources": sources,
            "about": self.about,
            "edition": edition(),
            "state": state,
            "makers": (*makers, *painted, *maps),
            "against": self.against,
        }
        pages: tuple[PagesStage, ...] = ()
        if not self.chosen:
            pages = (
                NeuronPagesStage(blocks=self.blocks, **common),
                WordPagesStage(**common),
                PicturePagesStage(**common),
                FrontPagesStage(**common),
            )
        return AtlasStages(swept, (*makers, *maps), painted, pages, sources, self.about)

    def _painted(self, state: str) -> tuple[PaintedThumbnailsStage, ...]:
        if self.sources.attack is None:
            return ()
        gallery = Gallery(self.sources.attack, state, self.asked.gallery)
        return (PaintedThumbnailsStage(gallery=gallery, sizes=self.sizes),)

    def _mapped(
        self, swept: SweepStages, shown: Upstream, painted: Sequence[PaintedThumbnailsStage]
    ) -> tuple[Stage, ...]:
        classifier = self.sources.classifier
        if self.chosen or not (self.asked.class_maps and classifier):
            return ()
        classes = rows_of(self.run, classifier, "classifier")
        galleries = [stage.gallery for stage in painted]
        return mapped(self.sweep, swept, shown, classifier, classes, galleries)

    @cached_property
    def about(self) -> About:
        """What the site says of its run."""
        return About(
            run=self.run.name,
            title=self.title,
            footer=f"clipneuron {__version__}, run {self.run.name}",
            heads=self.sweep.clip.weights.heads,
            facts=tuple(self._facts()),
            caveat=CAVEAT if self.sweep.recipe.model == "demo" else "",
            against=self.against.run.name if self.against else "",
        )

    def _facts(self) -> list[tuple[str, str]]:
        sweep, recipe, identity = self.sweep, self.sweep.recipe, self.run.identity
        clip = sweep.clip
        return [
            ("model", " ".join(filter(None, (clip.name, recipe.pretrained)))),
            ("its size", f"{counted(clip.layers, 'layers')} of {counted(clip.neurons, 'neurons')}"),
            ("its digest", str(identity["model"])),
            ("pictures", f"{len(sweep.collection):,}: {recipe.images}"),
            ("their digest", str(identity["images"])),
            ("texts", f"{len(sweep.pool):,} of {sweep.pool.name}"),
            ("layers", ", ".join(map(str, sweep.layers))),
            (
                "effects",
                f"split {recipe.split}, {'' if recipe.normalize else 'not '}normalised, {recipe.dtype}",
            ),
            ("top effects", f"{recipe.top} of each neuron"),
            ("numerics", str(identity["numerics"])),
        ]

    @cached_property
    def _by_layer(self) -> Mapping[int, tuple[int, ...]]:
        """The chosen neurons of each layer, rising."""
        if not self.chosen:
            everyone = tuple(range(self.sweep.clip.neurons))
            return dict.fromkeys(self.sweep.layers, everyone)
        layers = sorted({layer for layer, _ in self.chosen})
        return {
            layer: tuple(sorted({n for other, n in self.chosen if other == layer}))
            for layer in layers
        }

    @cached_property
    def blocks(self) -> tuple[NeuronBlock, ...]:
        """The neurons that get a card, as shards of the per-neuron stages; a block each of those that are chosen."""
        if not self.chosen:
            recipe = self.sweep.recipe
            return tuple(neuron_blocks(self.sweep.layers, self.sweep.clip.neurons, recipe.block))
        return tuple(NeuronBlock(layer, n, 1) for layer, own in self._by_layer.items() for n in own)


def _has(sweep: Sweep, layer: int, neuron: int) -> bool:
    return layer in sweep.layers and 0 <= neuron < sweep.clip.neurons


@dataclass(frozen=True)
class AtlasStages:
    """The stages of an atlas, in the order in which they read each other."""

    swept: SweepStages
    makers: tuple[Stage, ...]
    """Of what the pages show."""
    painted: tuple[PaintedThumbnailsStage, ...]
    pages: tuple[PagesStage, ...]
    """None where only some neurons are chosen."""
    sources: Sources
    """With the makers' own."""
    about: About

    @property
    def all(self) -> list[Stage]:
        """As a list, without the sweep's."""
        return [*self.makers, *self.painted, *self.pages]

    @property
    def results(self) -> AtlasResults:
        """Which of them hold the files of the site."""
        return AtlasResults(
            name=self.pages[0].name,
            pages=tuple(stage.name for stage in self.pages),
            thumbnails=(self.sources.thumbnails, *(stage.name for stage in self.painted)),
        )
