"""captions: what a language model writes with the words of a pair, asked until there is enough of it (Sec. 5.1)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from clipneuron.attack.answers import Answers, digest
from clipneuron.attack.prompts import REQUEST, CaptionRequest, caption_fault, named_words
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.models.language.captioner import Captioner, Prompt
from clipneuron.models.language.lists import parsed
from clipneuron.models.language.thoughts import spoken
from clipneuron.store.store import Failure, Run
from clipneuron.store.upkeep.causes import causes, summary
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import METHODS, Experiment, Pair, experiments, pair_key

CaptionerLoader = Callable[[], Captioner]

_LONGEST_LIST = 500
_SHOWN = 300
"""Characters that are kept of an answer without a list."""


@dataclass(frozen=True, kw_only=True)
class CaptionsStage(Stage):
    """Asks for captions of one pair per shard, all its methods and repeats side by side."""

    captioner: CaptionerLoader
    pairs: tuple[Pair, ...]
    methods: tuple[str, ...] = METHODS
    repeats: int = 3
    words: Upstream
    """The stage whose words are used; its shards have the same names."""
    request: CaptionRequest = REQUEST
    wanted: int = 50
    """Captions of an experiment that pictures can be painted of; fewer are made do with after `rounds`."""
    chosen: int = 10
    """How many of them are drawn to be painted."""
    rounds: int = 3
    """How often an experiment is asked for at most, with another seed each time (up to 50)."""
    group: int = 8
    """Prompts that the captioner is given at once. Their answers are kept together: if one fails, all of the group
    are asked for again."""
    seed: int = 0
    captioner_name: str = ""
    """The captioner's, which says what it answers with."""
    resources: Resources = Resources(pool="gen")

    kind = "captions"
    writes = ("captions",)
    unit = "experiments"

    def __post_init__(self) -> None:
        if not (1 <= self.chosen <= self.wanted and 1 <= self.rounds <= 50 and self.group >= 1):
            raise ValueError(
                "expected 1 <= chosen <= wanted, 1 to 50 rounds and groups of at least 1 prompt, got "
                f"{self.chosen} of {self.wanted}, {self.rounds} and {self.group}"
            )

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The words."""
        return (self.words,)

    @property
    def identity(self) -> Mapping[str, object]:
        """Who is asked, for what, how often; which captions are drawn."""
        return {
            "captioner": self.captioner_name,
            "request": asdict(self.request),
            "wanted": self.wanted,
            "chosen": self.chosen,
            "rounds": self.rounds,
            "seed": self.seed,
        }

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per pair."""
        return [
            Shard(pair_key(pair), len(self.methods) * self.repeats, pair) for pair in self.pairs
        ]

    def loader(self, run: Run) -> "CaptionsLoader":
        """Reads words."""
        return CaptionsLoader(self, run)

    def share(self, run: Run) -> None:
        """Nothing but the captioner, which the stage brings along."""

    def build(self, shared: None) -> "CaptionsWorker":
        """A worker with the captioner."""
        return CaptionsWorker(self)

    def prompts(self, run: Run, number: int = 0) -> list[Prompt]:
        """What is asked of every experiment in a round; `write_prompts` takes it to a language model elsewhere.

        Raises StoreError before all words are found.
        """
        pairs = [self.loader(run).load(shard).cues for shard in self.shards(run)]
        everything = [item for cues in pairs for item in cues.items()]
        return [self.prompt(one, words, number) for one, words in everything if words]

    def prompt(self, experiment: Experiment, words: Sequence[str], number: int) -> Prompt:
        """What is asked of an experiment in a round, from 0."""
        seed = experiment.seed("captions", self.seed, number)
        return self.request.prompt(*experiment.pair, words, seed)


@dataclass(frozen=True)
class PairWords:
    """The cues of every experiment on a pair, best first, and where the answers are kept."""

    cues: dict[Experiment, tuple[str, ...]]
    answers: Answers


@dataclass(frozen=True)
class CaptionsLoader:
    """Reads the words of a pair."""

    stage: CaptionsStage
    run: Run

    def load(self, shard: Shard) -> PairWords:
        """The cues: words that were kept."""
        ok = [("status", "==", "ok")]
        words = self.run.read(self.stage.words.name, "words", shards=[shard.name], filters=ok)
        rows = words.sort_by("rank").to_pylist()
        cues: dict[tuple[str, int], list[str]] = {}
        for row in rows:
            cues.setdefault((row["method"], row["repeat"]), []).append(row["text"])
        wanted = experiments([shard.payload], self.stage.methods, self.stage.repeats)
        found = {one: tuple(cues.get((one.method, one.repeat), ())) for one in wanted}
        return PairWords(found, Answers(self.run.objects))


class CaptionsWorker:
    """Asks for the captions of one pair after another."""

    def __init__(self, stage: CaptionsStage) -> None:
        self.stage, self.captioner = stage, stage.captioner()

    def process(self, loaded: PairWords, advance: Advance) -> Output:
        """The table `captions`; experiments with fewer captions than are to be painted are failures."""
        drafts = [Draft(one, words) for one, words in loaded.cues.items()]
        for number in range(self.stage.rounds):
            self._ask([draft for draft in drafts if self._lacks(draft)], number, loaded.answers)
        rows = [row for draft in drafts for row in self._rows(draft)]
        short = [draft for draft in drafts if len(draft.good) < self.stage.chosen]
        advance(len(drafts))
        table = pa.Table.from_pylist(rows, schema=tables.schema("captions"))
        return Output({"captions": table}, [self._failure(draft) for draft in short])

    def _lacks(self, draft: "Draft") -> bool:
        return bool(draft.words) and len(draft.good) < self.stage.wanted

    def _ask(self, drafts: Sequence["Draft"], number: int, answers: Answers) -> None:
        """One more answer for each of the drafts."""
        prompts = [self.stage.prompt(draft.experiment, draft.words, number) for draft in drafts]
        found = kept_answers(self.captioner, prompts, answers, self.stage.group)
        for draft, prompt, answer in zip(drafts, prompts, found, strict=True):
            draft.read(prompt, answer)

    def _rows(self, draft: "Draft") -> list[dict[str, object]]:
        dice = np.random.default_rng(draft.experiment.seed("chosen", self.stage.seed))
        chosen = set(dice.permutation(draft.good)[: self.stage.chosen].tolist())
        extra = {"captioner": self.captioner.name, **draft.experiment.columns}
        return [
            {**row, **extra, "number": number, "chosen": number in chosen}
            for number, row in enumerate(draft.rows)
        ]

    def _failure(self, draft: "Draft") -> Failure:
        if not draft.words:
            reason = f"{self.stage.words.name} left no words to make captions of"
            return Failure(draft.experiment.key, "too-few", reason)
        left_out = [
            Failure(str(row["caption"]), str(row["status"]), str(row["reason"]))
            for row in draft.rows
            if row["status"] != "ok"
        ]
        counts = f"{len(draft.good)} of {len(draft.rows)} captions can be painted, {self.stage.chosen} are wanted"
        why = f" ({summary(causes(left_out))})" if left_out else ""
        return Failure(draft.experiment.key, "too-few", counts + why)


@dataclass
class Draft:
    """What an experiment has so far."""

    experiment: Experiment
    words: tuple[str, ...]
    rows: list[dict[str, object]] = field(default_factory=list)
    good: list[int] = field(default_factory=list)
    """Numbers of the rows that pictures can be painted of."""
    _seen: set[str] = field(default_factory=set)

    def read(self, prompt: Prompt, answer: str) -> None:
        """Add the captions of an answer, good and bad."""
        asked = {"prompt": digest([prompt.system, prompt.user]), "seed": prompt.seed}
        captions = [_readable(text) for text in parsed(answer)[:_LONGEST_LIST]]
        if not captions:
            shown = _readable(spoken(answer))[:_SHOWN]
            self._add(asked, shown, "empty", "no list in the answer")
        for caption in captions:
            self._add(asked, caption, *self._fault(caption))

    def _fault(self, caption: str) -> tuple[str, str]:
        status, reason = caption_fault(caption, *self.experiment.pair)
        key = caption.casefold().rstrip(". ")
        if status == "ok" and key in self._seen:
            return "duplicate", "came before, but for its case or its point"
        self._seen.add(key)
        return status, reason

    def _add(self, asked: dict[str, object], caption: str, status: str, reason: str) -> None:
        if status == "ok":
            self.good.append(len(self.rows))
        words = named_words(caption, self.words)
        verdict = {"status": status, "reason": reason or None}
        self.rows.append({**asked, "caption": caption, "words": words, **verdict})


def kept_answers(
    captioner: Captioner, prompts: Sequence[Prompt], answers: Answers, group: int
) -> list[str]:
    """An answer per prompt: the one on record, or a new one, which is put on record as soon as its group is there."""
    questions = [_question(captioner, prompt) for prompt in prompts]
    found = [answers.find(question) for question in questions]
    for places in _groups([at for at, answer in enumerate(found) if answer is None], group):
        given = captioner.answers([prompts[at] for at in places])
        if len(given) != len(places):
            raise ValueError(
                f"{captioner.name} gave {len(given)} answers to {len(places)} prompts: expected one for each"
            )
        for at, answer in zip(places, given, strict=True):
            found[at] = answers.keep(questions[at], answer)
    return [answer for answer in found if answer is not None]


def _question(captioner: Captioner, prompt: Prompt) -> dict[str, str | int]:
    request = {"captioner": captioner.name, "system": prompt.system, "prompt": prompt.user}
    return {**request, "seed": prompt.seed}


def _groups(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (places[start : start + size] for start in range(0, len(places), size))


def _readable(text: str) -> str:
    """The text on one line, without what can't be printed: half characters, zeros, colours of a terminal."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
