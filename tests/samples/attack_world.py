"""A run with the words of two pairs of the demo world, and captioners and painters that misbehave on request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipneuron.attack.prompts import CaptionRequest
from clipneuron.attack.stages.captions import CaptionsStage
from clipneuron.attack.stages.pictures import PicturesStage
from clipneuron.attack.stages.screening import ScreeningStage
from clipneuron.attack.stages.verdicts import VerdictsStage
from clipneuron.demo.grammar import GrammarCaptioner
from clipneuron.demo.painter import ScenePainter, SceneTruth
from clipneuron.demo.things import BIASES, CLASSES
from clipneuron.engine.stage import Named, Output, Stage
from clipneuron.models.clip.model import Clip
from clipneuron.models.language.captioner import Prompt
from clipneuron.models.painting.painter import Order, Painted
from clipneuron.store.store import Run, Store
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import Experiment, Pair, experiments, pair_key
from tests.samples.world import clip as tiny

PAIRS = (("horse", "automobile"), ("cat", "ship"))
METHODS = ("second-order", "similar")
REPEATS = 2
CHOSEN, EACH = 3, 2
REQUEST = CaptionRequest(count=8)


def cues_of(pair: Pair) -> tuple[str, ...]:
    """What the second class keeps company with, and a word that the world does not know."""
    bias = BIASES[pair[1]]
    return (*bias.things, *bias.backgrounds, "unheard")


def run_with_words(folder: Path, cues: Callable[[Pair], Sequence[str]] = cues_of) -> Run:
    """A run in which the words of both pairs are committed, the same ones for all methods."""
    run = Store(folder).open_run("attack", {"words": 1})
    for pair in PAIRS:
        rows = [
            row
            for one in experiments([pair], METHODS, REPEATS)
            for row in _words(one, [*cues(pair), pair[1]])
        ]
        table = pa.Table.from_pylist(rows[::-1], schema=tables.schema("words"))
        none = tables.schema("word_neurons").empty_table()
        run.commit("words", pair_key(pair), {"words": table, "word_neurons": none})
    return run


def _words(one: Experiment, texts: Sequence[str]) -> list[dict]:
    """The last text is a synonym and left out."""
    last = len(texts) - 1
    return [
        {
            **one.columns,
            "rank": rank,
            "text": text,
            "score": 1.0 - rank / 100,
            "similarity": 0.1,
            "status": "synonym" if rank == last else "ok",
            "reason": "too close" if rank == last else None,
        }
        for rank, text in enumerate(texts)
    ]


def called(stage: Any, name: str = "") -> Any:
    """The stage under its bare kind, or another name: tests find its tables by that."""
    vars(stage)["name"] = name or stage.kind
    return stage


def captions_stage(**options: object) -> CaptionsStage:
    fields = {"captioner": GrammarCaptioner, "pairs": PAIRS, "methods": METHODS, "repeats": REPEATS}
    fields |= {"request": REQUEST, "wanted": 8, "chosen": CHOSEN}
    fields["words"] = Named("words")
    return called(CaptionsStage(**(fields | options)))


def pictures_stage(**options: object) -> PicturesStage:
    fields = {"painter": ScenePainter, "pairs": PAIRS, "methods": METHODS, "repeats": REPEATS}
    fields |= {"captions": Named("captions"), "chosen": CHOSEN, "each": EACH}
    return called(PicturesStage(**(fields | options)))


def classifier_stage(clip: Callable[[], Clip] = tiny) -> ClassifierStage:
    return called(ClassifierStage(clip, CLASSES, ("a photo of a {}",)))


def verdicts_stage(clip: Callable[[], Clip] = tiny, **options: object) -> VerdictsStage:
    fields = {"clip": clip, "preprocess": clip().preprocess, "pairs": PAIRS, "methods": METHODS}
    fields |= {"pictures": Named("pictures"), "classifier": Named("classifier")}
    return called(VerdictsStage(**(fields | {"repeats": REPEATS, "size": CHOSEN * EACH} | options)))


def screening_stage(**options: object) -> ScreeningStage:
    fields = {"witness": SceneTruth, "pairs": PAIRS, "methods": METHODS, "repeats": REPEATS}
    fields |= {"pictures": Named("pictures"), "size": CHOSEN * EACH}
    return called(ScreeningStage(**(fields | options)))


def processed(stage: Stage, run: Run, shard: int = 0) -> Output:
    """What one shard of a stage yields, uncommitted."""
    chosen = stage.shards(run)[shard]
    return stage.build(stage.share(run)).process(stage.loader(run).load(chosen), lambda rows: None)


@dataclass
class Scripted:
    """A captioner that says what it is told to, answer after answer; the last one again and again."""

    lines: Sequence[str]
    fails: Sequence[int] = ()
    """Calls that end in an error, by number."""
    name: str = "scripted"
    asked: list[Prompt] = field(default_factory=list)
    calls: int = 0

    def __call__(self) -> "Scripted":
        return self

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        self.calls += 1
        if self.calls - 1 in self.fails:
            raise ConnectionError("gave no answer in 6 tries")
        start = len(self.asked)
        self.asked += prompts
        last = len(self.lines) - 1
        return [self.lines[min(at, last)] for at in range(start, start + len(prompts))]


@dataclass
class Moody:
    """A painter of plain colours that fails where it is told to, by number of the order."""

    moods: Mapping[int, Painted] = field(default_factory=dict)
    name: str = "moody"
    asked: list[Order] = field(default_factory=list)

    def __call__(self) -> "Moody":
        return self

    def paint(self, orders: Sequence[Order]) -> list[Painted]:
        start = len(self.asked)
        self.asked += orders
        plain = [
            Painted(np.full((8, 8, 3), order.seed % 256, np.uint8), unsafe=False, watermarked=False)
            for order in orders
        ]
        return [self.moods.get(start + at, made) for at, made in enumerate(plain)]
