"""The mass production of semantic adversarial images (Sec. 5.1): the sweep, then the line from words to verdicts.

Words and verdicts work on the pool `clip`, captions and pictures on the pool `gen`.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from clipneuron.attack.cues import Rules
from clipneuron.attack.inputs import (
    blocked_of,
    captioner_of,
    classes_of,
    pairs_of,
    witness_name,
    witness_of,
)
from clipneuron.attack.prompts import CaptionRequest
from clipneuron.attack.results import AttackResults
from clipneuron.attack.stages.captions import CaptionsStage
from clipneuron.attack.stages.pictures import PicturesStage
from clipneuron.attack.stages.screening import ScreeningStage
from clipneuron.attack.stages.verdicts import VerdictsStage
from clipneuron.attack.stages.words import WordSource, WordsStage
from clipneuron.config.attack import Attack
from clipneuron.config.recipe import Recipe
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Resources, Stage
from clipneuron.models.clip.model import Clip
from clipneuron.models.language.captioner import AnswersFile, Captioner, Prompt
from clipneuron.models.language.sentences import ClipSentences, Sentences, SentenceTransformers
from clipneuron.models.painting.painter import Painter
from clipneuron.models.places import Given, Placed
from clipneuron.models.snapshots import snapshot_name
from clipneuron.readers.lenses import ClipLoader
from clipneuron.readers.sweep import Planned
from clipneuron.reports.quantities import counted
from clipneuron.store.store import Run, Store
from clipneuron.sweep.inputs import about_classes
from clipneuron.sweep.interventions import Interventions
from clipneuron.sweep.painters import painter_of
from clipneuron.sweep.pipeline import Sweep, SweepStages
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.sweep.stages.descriptions import DescriptionsStage
from clipneuron.tables.experiments import Pair

BARE = ("{}",)
"""Words are found and pictures judged by bare class names, as in the paper."""


@dataclass(frozen=True)
class AttackLine:
    """A sweep, and the line of production on top of it, in the same run."""

    sweep: Sweep
    pairs: tuple[Pair, ...]
    classes: tuple[str, ...]
    """All that a picture could be taken for; both classes of every pair are among them."""
    captioner: Captioner
    painter: Painter
    blocked: tuple[str, ...]

    @classmethod
    def of(cls, recipe: Recipe, store: Store, clip: Clip | None = None) -> "AttackLine":
        """Resolve a recipe with its attack; raises ValueError for what does not fit, before any long work."""
        asked = recipe.attack
        pairs, classes = pairs_of(asked, recipe.seed), classes_of(asked)
        painter = painter_of(asked.painter, asked.each, asked.offload, "attack.painter")
        blocked = tuple(sorted(blocked_of(asked)))
        sweep = Sweep.of(recipe, store, clip)
        everything = dict.fromkeys([*classes, *(name for pair in pairs for name in pair)])
        found = cls(sweep, pairs, tuple(everything), captioner_of(asked), painter, blocked)
        found.check()
        return found

    @property
    def asked(self) -> Attack:
        """The recipe's attack."""
        return self.sweep.recipe.attack

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers that neurons are chosen from, in rising order."""
        return tuple(sorted({*self.asked.layers})) or self.sweep.layers

    def check(self) -> None:
        """Raises ValueError for layers that are not swept."""
        missing = sorted({*self.layers} - {*self.sweep.layers})
        if missing:
            raise ValueError(
                f"the attack's layers {missing} are not among the layers of the run, {list(self.sweep.layers)}: "
                "add them to `recipe.layers`, or choose `attack.layers` among those"
            )

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        asked, shown = self.asked, ", ".join(":".join(pair) for pair in self.pairs[:6])
        more = f" and {len(self.pairs) - 6} more" if len(self.pairs) > 6 else ""
        pictures = len(self.pairs) * len(asked.methods) * asked.repeats * self.size
        repeats, words = counted(asked.repeats, "repeats"), counted(asked.words, "words")
        layers, captions = ", ".join(map(str, self.layers)), counted(asked.chosen, "captions")
        return "\n".join(
            [
                self.sweep.describe(),
                f"pairs     {shown}{more}; {', '.join(asked.methods)}; {repeats}",
                f"neurons   {asked.neurons} of layers {layers}; {words}",
                f"pictures  up to {pictures:,}: {captions} of {asked.captioner}, {asked.each} each by {asked.painter}",
                *(
                    f"note      {note}"
                    for note in about_classes(self.classes, BARE, self.sweep.clip)
                ),
            ]
        )

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring the sweep and the line to completion, or all up to a kind; nothing is done twice.

        Raises as `Sweep.run` does.
        """
        run, planned, report = self.sweep.planned(runner)
        stages = self.stages(planned)
        results = (stages.swept.results, self.results_of(stages))
        return run, self.sweep.carried_out(stages.all, results, runner, run, report, until)

    def look(self, until: str | None = None) -> None:
        """Raises UnavailableError where a model that is still needed cannot be had; loads none.

        A stage that is complete needs nobody any more. `until` is the kind of the last stage that is asked for.
        """
        run = self.sweep.open()
        stages = self.stages(Planned.of(run)) if run.done("plan") else None
        makers = {"words": self.sentences, "captions": self.captioner, "pictures": self.painter}
        for kind, maker in makers.items():
            if isinstance(maker, Placed) and not (stages and stages.is_complete(kind, run)):
                maker.look()
            if kind == until:
                return

    @cached_property
    def sentences(self) -> SentenceTransformers | None:
        """Who finds synonyms, None where the attacked model does."""
        spec = self.asked.sentences
        return None if spec == "clip" else SentenceTransformers(spec)

    def prompts(self, run: Run) -> list[Prompt]:
        """What the captioner is asked, for a language model elsewhere; raises StoreError before all words are found."""
        return self.stages(Planned.of(run)).captions.prompts(run)

    def results(self, run: Run) -> AttackResults:
        """The stages that hold the attack of a run."""
        return self.results_of(self.stages(Planned.of(run)))

    def results_of(self, stages: "AttackStages") -> AttackResults:
        """Which of the stages hold the results, and what else the review and the trace need."""
        return AttackResults(
            name=stages.verdicts.name,
            model=self.sweep.clip.name,
            comparable=self.sweep.recipe.is_papers_attack,
            pairs=self.pairs,
            methods=self.asked.methods,
            repeats=self.asked.repeats,
            swept=stages.swept.results,
            words=stages.words.name,
            captions=stages.captions.name,
            pictures=stages.pictures.name,
            verdicts=stages.verdicts.name,
            screening=stages.screening.name if stages.screening else None,
        )

    def stages(self, planned: Planned) -> "AttackStages":
        """The stages of a planned run."""
        swept = self.sweep.stages(planned)
        classifier = ClassifierStage(self.sweep.loader, self.classes, BARE)
        indirect = self._indirect(planned, swept) if "indirect" in self.asked.methods else None
        words = self._words(swept, classifier, indirect)
        captions = self._captions(words)
        pictures = self._pictures(captions)
        verdicts = self._verdicts(pictures, classifier)
        screening = self._screening(pictures)
        return AttackStages(
            swept, classifier, indirect, words, captions, pictures, verdicts, screening
        )

    def _indirect(self, planned: Planned, swept: SweepStages) -> "IndirectStages":
        """Directions of indirect effects, described as the sweep describes its own (Table 3)."""
        interventions = Interventions.of(self.sweep, planned, self.layers)
        descriptions = replace(
            swept.descriptions,
            directions=interventions.directions,
            pool=f"indirect-{swept.descriptions.pool}",
            layers=self.layers,
            block=self.sweep.clip.neurons,
            table="indirect_directions",
        )
        return IndirectStages(interventions, descriptions)

    def _words(
        self, swept: SweepStages, classifier: ClassifierStage, indirect: "IndirectStages | None"
    ) -> WordsStage:
        """The stage that finds the words."""
        asked, sweep = self.asked, self.sweep
        own = WordSource(swept.directions, swept.descriptions)
        sources = {"second-order": own, "second-order-paper": replace(own, texts="descriptions")}
        if indirect:
            found = indirect.interventions.directions, indirect.descriptions
            sources["indirect"] = WordSource(*found, "indirect_directions")
        return WordsStage(
            self.pairs,
            asked.methods,
            asked.repeats,
            classifier,
            swept.texts,
            sources,
            self.layers,
            partial(_sentences, asked.sentences, sweep.loader),
            Rules(asked.similarity, self.blocked),
            neurons=asked.neurons,
            count=asked.words,
            scoring="sum" if asked.rule == "paper" else "authors",
            seed=sweep.recipe.seed,
            # The model's own digest is in the run's identity.
            sentences_name="clip" if asked.sentences == "clip" else snapshot_name(asked.sentences),
        )

    def _captions(self, words: WordsStage) -> CaptionsStage:
        """The stage that has captions written."""
        asked = self.asked
        return CaptionsStage(
            captioner=Given(self.captioner),
            captioner_name=self.captioner.name,
            words=words,
            request=CaptionRequest(count=asked.captions, system=asked.system),
            wanted=asked.captions,
            chosen=asked.chosen,
            # A file answers once: asked again, with another seed, it has nothing more to give.
            rounds=1 if isinstance(self.captioner, AnswersFile) else asked.rounds,
            seed=self.sweep.recipe.seed,
            resources=Resources(pool="gen", memory=asked.captioner_memory),
            **self._experiments,
        )

    def _pictures(self, captions: CaptionsStage) -> PicturesStage:
        """The stage that has pictures painted."""
        asked = self.asked
        return PicturesStage(
            painter=Given(self.painter),
            painter_name=self.painter.name,
            captions=captions,
            chosen=asked.chosen,
            each=asked.each,
            seed=self.sweep.recipe.seed,
            resources=Resources(pool="gen", memory=asked.painter_memory),
            **self._experiments,
        )

    def _verdicts(self, pictures: PicturesStage, classifier: ClassifierStage) -> VerdictsStage:
        """The stage that classifies the pictures."""
        return VerdictsStage(
            clip=self.sweep.loader,
            preprocess=self.sweep.clip.preprocess,
            size=self.size,
            split=self.sweep.recipe.split,
            pictures=pictures,
            classifier=classifier,
            **self._experiments,
        )

    def _screening(self, pictures: PicturesStage) -> ScreeningStage | None:
        """The stage that suggests what pictures show, where there is a witness."""
        asked = self.asked
        witness = witness_of(asked, self.classes)
        if witness is None:
            return None
        return ScreeningStage(
            witness=witness,
            witness_name=witness_name(asked),
            size=self.size,
            pictures=pictures,
            resources=Resources(pool="clip") if asked.witness else Resources(),
            **self._experiments,
        )

    @property
    def _experiments(self) -> dict[str, Any]:
        """The fields that stages over experiments share."""
        asked = self.asked
        return {"pairs": self.pairs, "methods": asked.methods, "repeats": asked.repeats}

    @property
    def size(self) -> int:
        """Pictures of an experiment, at most."""
        return self.asked.chosen * self.asked.each


@dataclass(frozen=True)
class IndirectStages:
    """The stages that give words of indirect effects."""

    interventions: Interventions
    descriptions: DescriptionsStage


@dataclass(frozen=True)
class AttackStages:
    """The stages of a sweep and of the attack on top of it, in the order in which they read each other."""

    swept: SweepStages
    classifier: ClassifierStage
    indirect: IndirectStages | None
    words: WordsStage
    captions: CaptionsStage
    pictures: PicturesStage
    verdicts: VerdictsStage
    screening: ScreeningStage | None

    def is_complete(self, kind: str, run: Run) -> bool:
        """Whether every shard of a stage of the line is committed; raises StoreError."""
        done = {stage.kind: stage for stage in (self.words, self.captions, self.pictures)}[kind]
        return {shard.name for shard in done.shards(run)} <= run.done(done.name)

    @property
    def all(self) -> list[Stage]:
        """As a list."""
        line: list[Stage] = [*self.swept.all, self.classifier]
        if self.indirect:
            line += [*self.indirect.interventions.stages, self.indirect.descriptions]
        line += [self.words, self.captions, self.pictures, self.verdicts]
        return line + ([self.screening] if self.screening else [])


def _sentences(spec: str, clip: ClipLoader) -> Sentences:
    return ClipSentences(clip()) if spec == "clip" else SentenceTransformers(spec)
