"""The mass production of semantic adversarial images (Sec. 5.1): the sweep, then the line from words to verdicts.

Words and verdicts work on the pool `clip`, captions and pictures on the pool `gen`.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Generic, TypeVar

from clipneuron.attack.cues import Rules
from clipneuron.attack.inputs import (
    blocked_of,
    captioner_of,
    classes_of,
    painter_of,
    pairs_of,
    witness_of,
)
from clipneuron.attack.prompts import CaptionRequest
from clipneuron.attack.review.deck import ReviewKeys
from clipneuron.attack.stages.captions import CaptionsStage
from clipneuron.attack.stages.pictures import PicturesStage
from clipneuron.attack.stages.screening import ScreeningStage
from clipneuron.attack.stages.verdicts import VerdictsStage
from clipneuron.attack.stages.words import Source, WordsStage
from clipneuron.config.attack import Attack
from clipneuron.config.recipe import Recipe
from clipneuron.engine.pipeline import mark, up_to
from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Resources, Stage
from clipneuron.models.clip.model import Clip
from clipneuron.models.language.captioner import AnswersFile, Captioner
from clipneuron.models.language.sentences import ClipSentences, Sentences, SentenceTransformers
from clipneuron.models.painting.painter import Painter
from clipneuron.readers.lenses import ClipLoader
from clipneuron.store.store import Run, Store
from clipneuron.sweep.interventions import Interventions
from clipneuron.sweep.pipeline import Sweep
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.sweep.stages.descriptions import DescriptionsStage
from clipneuron.tables.experiments import Pair

Thing = TypeVar("Thing")

BARE = ("{}",)
"""Words are found and pictures judged by bare class names, as in the paper."""


@dataclass(frozen=True)
class Given(Generic[Thing]):
    """A loader of what is small until it is first asked."""

    thing: Thing

    def __call__(self) -> Thing:
        """The thing."""
        return self.thing


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
        people = captioner_of(asked), painter_of(asked)
        blocked = tuple(sorted(blocked_of(asked)))
        sweep = Sweep.of(recipe, store, clip)
        everything = dict.fromkeys([*classes, *(name for pair in pairs for name in pair)])
        found = cls(sweep, pairs, tuple(everything), *people, blocked)
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

    @property
    def is_papers(self) -> bool:
        """Whether model and makers are those of the paper's Table 3."""
        recipe, asked = self.sweep.recipe, self.asked
        return (recipe.model, recipe.pretrained, asked.painter) == (
            "ViT-B-32",
            "openai",
            "deepfloyd",
        )

    def check(self) -> None:
        """Raises ValueError for layers that are not swept."""
        missing = sorted({*self.layers} - {*self.sweep.layers})
        if missing:
            raise ValueError(
                f"the attack's layers {missing} are not among the layers of the run, {list(self.sweep.layers)}: "
                "add them to --layers, or choose --attack-layers among those"
            )

    def describe(self) -> str:
        """What is about to run, in a few lines."""
        asked, shown = self.asked, ", ".join(":".join(pair) for pair in self.pairs[:6])
        more = f" and {len(self.pairs) - 6} more" if len(self.pairs) > 6 else ""
        pictures = len(self.pairs) * len(asked.methods) * asked.repeats * self._size
        return "\n".join(
            [
                self.sweep.describe(),
                f"pairs     {shown}{more}; {', '.join(asked.methods)}; {asked.repeats} repeats",
                f"neurons   {asked.neurons} of layers {', '.join(map(str, self.layers))}; {asked.words} words",
                f"pictures  up to {pictures:,}: {asked.chosen} captions of {asked.captioner}, {asked.each} each by "
                f"{asked.painter}",
            ]
        )

    def run(self, runner: Runner, until: str | None = None) -> tuple[Run, list[StageReport]]:
        """Bring the sweep and the line to completion, or the line up to a stage; nothing is done twice.

        Raises as `Sweep.run` does.
        """
        run, reports = self.sweep.run(runner)
        stages = self.stages(run)
        run.announce(self.sweep.order([*self.sweep.stages(run), *stages]))
        return run, reports + runner.run(up_to(until, stages), run)

    def stages(self, run: Run) -> list[Stage]:
        """The line's stages, in the order in which they read each other."""
        line: list[Stage] = [self.classifier]
        if "indirect" in self.asked.methods:
            line += [*self._interventions(run).stages, self._indirect_descriptions(run)]
        line += [self.words(run), self.captions(run), self.pictures(run), self.verdicts(run)]
        return line + ([self.screening(run)] if self._has_witness else [])

    def review_keys(self, run: Run) -> ReviewKeys:
        """What the review shows."""
        screening = self.screening(run).name if self._has_witness else None
        return ReviewKeys(self.pictures(run).name, self.verdicts(run).name, screening)

    @property
    def classifier(self) -> ClassifierStage:
        """The stage that encodes the classes."""
        name = f"classifier-{mark(self.classes, BARE)}"
        return ClassifierStage(name, self.sweep.loader, self.classes, BARE)

    def words(self, run: Run) -> WordsStage:
        """The stage that finds the words."""
        asked, sweep = self.asked, self.sweep
        keys = sweep.keys(run)
        sources = {"second-order": Source(keys.directions, keys.descriptions)}
        if "indirect" in asked.methods:
            descriptions = self._indirect_descriptions(run)
            found = descriptions.directions, descriptions.name
            sources["indirect"] = Source(*found, "indirect_directions")
        rules = Rules(asked.similarity, self.blocked)
        details = (self.layers, asked.neurons, asked.words, asked.rule, asked.sentences)
        return WordsStage(
            sweep.key(f"words-{mark(self._experiments, details, sources, rules)}", run),
            self.pairs,
            asked.methods,
            asked.repeats,
            self.classifier.name,
            sweep.texts.name,
            sources,
            self.layers,
            partial(_sentences, asked.sentences, sweep.loader),
            rules,
            neurons=asked.neurons,
            count=asked.words,
            scoring="sum" if asked.rule == "paper" else "authors",
            seed=sweep.recipe.seed,
        )

    def captions(self, run: Run) -> CaptionsStage:
        """The stage that has captions written."""
        asked, words = self.asked, self.words(run).name
        request = CaptionRequest(count=asked.captions)
        # A file answers once: asked again, with another seed, it has nothing more to say.
        rounds = 1 if isinstance(self.captioner, AnswersFile) else asked.rounds
        details = (self.captioner.name, request, asked.chosen, rounds)
        return CaptionsStage(
            captioner=Given(self.captioner),
            words=words,
            request=request,
            wanted=asked.captions,
            chosen=asked.chosen,
            rounds=rounds,
            seed=self.sweep.recipe.seed,
            name=f"captions-{mark(words, details)}",
            resources=Resources(pool="gen", memory=asked.captioner_memory),
            pairs=self.pairs,
            methods=asked.methods,
            repeats=asked.repeats,
        )

    def pictures(self, run: Run) -> PicturesStage:
        """The stage that has pictures painted."""
        asked, captions = self.asked, self.captions(run).name
        return PicturesStage(
            painter=Given(self.painter),
            captions=captions,
            chosen=asked.chosen,
            each=asked.each,
            seed=self.sweep.recipe.seed,
            name=f"pictures-{mark(captions, self.painter.name, asked.each)}",
            resources=Resources(pool="gen", memory=asked.painter_memory),
            pairs=self.pairs,
            methods=asked.methods,
            repeats=asked.repeats,
        )

    def verdicts(self, run: Run) -> VerdictsStage:
        """The stage that says what the model takes the pictures for."""
        sweep, asked, pictures = self.sweep, self.asked, self.pictures(run).name
        return VerdictsStage(
            clip=sweep.loader,
            preprocess=sweep.clip.preprocess,
            size=self._size,
            split=sweep.recipe.split,
            pictures=pictures,
            classifier=self.classifier.name,
            name=f"verdicts-{mark(pictures, self.classifier.name)}",
            pairs=self.pairs,
            methods=asked.methods,
            repeats=asked.repeats,
        )

    def screening(self, run: Run) -> ScreeningStage:
        """The stage that suggests what pictures show; raises ValueError where there is no witness."""
        asked, pictures = self.asked, self.pictures(run).name
        witness = witness_of(asked, self.classes)
        if witness is None:
            raise ValueError("nobody is named who could see what the pictures show: give --witness")
        return ScreeningStage(
            witness=witness,
            size=self._size,
            pictures=pictures,
            name=f"screening-{mark(pictures, asked.witness)}",
            resources=Resources(pool="clip") if asked.witness else Resources(),
            pairs=self.pairs,
            methods=asked.methods,
            repeats=asked.repeats,
        )

    def _interventions(self, run: Run) -> Interventions:
        return Interventions(self.sweep, run, self.layers)

    def _indirect_descriptions(self, run: Run) -> DescriptionsStage:
        """The stage that describes directions of indirect effects as the sweep does its own (Table 3)."""
        own, directions = self.sweep.descriptions(run), self._interventions(run).directions.name
        return replace(
            own,
            directions=directions,
            label=f"indirect-{own.label}-{mark(directions)}",
            layers=self.layers,
            block=self.sweep.clip.neurons,
            table="indirect_directions",
        )

    @property
    def _experiments(self) -> tuple[object, ...]:
        return (self.pairs, self.asked.methods, self.asked.repeats, self.sweep.recipe.seed)

    @property
    def _size(self) -> int:
        """Pictures of an experiment, at most."""
        return self.asked.chosen * self.asked.each

    @property
    def _has_witness(self) -> bool:
        return witness_of(self.asked, self.classes) is not None


def _sentences(spec: str, clip: ClipLoader) -> Sentences:
    return ClipSentences(clip()) if spec == "clip" else SentenceTransformers(spec)
