"""words: the texts of the pool that speak for one class of a pair and against the other (Sec. 5.1)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from clipneuron.attack.cues import OK, Judge, Rules
from clipneuron.engine.stage import Advance, Named, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.options import Scoring
from clipneuron.lens.pursuit import STOPPED
from clipneuron.lens.words.spurious import (
    contributions,
    cosines,
    ranked,
    strongest_neurons,
    text_scores,
)
from clipneuron.models.language.sentences import Sentences
from clipneuron.readers.arrow import table_of, tensor, unchanging
from clipneuron.readers.evidence import classifier_of
from clipneuron.readers.sweep import PreparedTexts, prepared_texts
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import Experiment, Pair, experiments, pair_key


@dataclass(frozen=True)
class WordSource:
    """The stages that hold neurons' directions and the texts with which the pool describes these."""

    directions: Upstream
    descriptions: Upstream
    table: Literal["directions", "indirect_directions"] = "directions"
    texts: Literal["neuron_words", "descriptions"] = "neuron_words"
    """The table of the texts: the few words of each neuron, or its long description."""

    def __getstate__(self) -> dict[str, object]:
        """The fields, with the stages by their names: they would bring their models along."""
        names = Named(self.directions.name), Named(self.descriptions.name)
        return {**vars(self), "directions": names[0], "descriptions": names[1]}


_SOURCES = {
    "second-order": "second-order",
    "second-order-paper": "second-order-paper",
    "random": "second-order",
    "indirect": "indirect",
}
"""The source that each method takes its words from; one that is not here takes them from the pool itself."""


@dataclass(frozen=True)
class WordsStage(Stage):
    """Mines the words of pairs of classes by several methods, each `repeats` times.

    "second-order": Eq. 6 over the `neurons` neurons of largest |<v, r>|, with the few words of each;
    "second-order-paper": with their long descriptions, as in the paper; "random": as the first, over neurons that are
    drawn for each repetition; "indirect": as the first, with directions of indirect effects; "similar": the texts
    nearest to v. Only "random" has other words in another repetition.

    v is made of the rows of `classes`, a stage that writes `classifier`: with the one template "{}" those are bare
    names, as in the paper. Raises ValueError for what does not fit together.
    """

    pairs: tuple[Pair, ...]
    methods: tuple[str, ...]
    repeats: int
    classes: Upstream
    texts: Upstream
    """The stage that has encoded the pool of the descriptions."""
    sources: Mapping[str, WordSource]
    """Of "second-order", which "random" draws from too, of "second-order-paper" and of "indirect"."""
    layers: tuple[int, ...]
    sentences: Callable[[], Sentences]
    rules: Rules = field(default_factory=Rules)
    neurons: int = 100
    count: int = 25
    scoring: Scoring = "sum"
    seed: int = 0
    sentences_name: str = ""
    """The sentence model's, which says what it compares with."""
    resources: Resources = Resources(pool="clip")

    kind = "words"
    writes = ("words", "word_neurons")
    unit = "lists of words"

    def __post_init__(self) -> None:
        experiments(self.pairs, self.methods, self.repeats)
        if missing := sorted({*self.kinds} - {*self.sources}):
            raise ValueError(
                f"methods {list(self.methods)} need directions and descriptions of {missing}: give their stages as "
                "sources, or leave these methods out"
            )
        if wrong := [pair for pair in self.pairs if pair[0] == pair[1]]:
            raise ValueError(f"pairs {wrong[:4]}: expected two different classes in each")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The sources that the methods need."""
        needed = (_SOURCES[each] for each in self.methods if each in _SOURCES)
        return tuple(dict.fromkeys(needed))

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The classes, the pool, and the directions and descriptions that the methods need."""
        chosen = [self.sources[kind] for kind in self.kinds]
        stages = [stage for source in chosen for stage in (source.directions, source.descriptions)]
        return (self.classes, self.texts, *{stage.name: stage for stage in stages}.values())

    @property
    def identity(self) -> Mapping[str, object]:
        """What is tried on which pairs, and what makes a text a word."""
        return {
            "pairs": self.pairs,
            "methods": self.methods,
            "repeats": self.repeats,
            "sources": {kind: self.sources[kind].texts for kind in self.kinds},
            "layers": self.layers,
            "neurons": self.neurons,
            "count": self.count,
            "scoring": self.scoring,
            "seed": self.seed,
            "sentences": self.sentences_name,
            "rules": asdict(self.rules),
        }

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per pair: a list of words per method and repetition."""
        rows = len(self.methods) * self.repeats
        return [Shard(pair_key(pair), rows, pair) for pair in self.pairs]

    def loader(self, run: Run) -> "PairLoader":
        """Hands out the pairs."""
        return PairLoader()

    def share(self, run: Run) -> "Material":
        """What all pairs are mined from; raises ValueError for classes that have no embedding."""
        found = classifier_of(run, self.classes.name)
        classes = dict(zip(found.names, found.matrix, strict=True))
        if missing := sorted({name for pair in self.pairs for name in pair} - {*classes}):
            raise ValueError(
                f"classes {missing[:5]} are not among the {len(classes)} of {self.classes.name}: add them there, or "
                "choose pairs of those"
            )
        neurons = {kind: _neurons(run, self.sources[kind], self.layers) for kind in self.kinds}
        return Material(classes, prepared_texts(run, self.texts.name, "unit"), neurons)

    def build(self, shared: "Material") -> "WordsWorker":
        """A worker with the sentence model."""
        return WordsWorker(self, shared, self.sentences())


@dataclass(frozen=True)
class PairLoader:
    """There is nothing to load but the pair itself."""

    def load(self, shard: Shard) -> Pair:
        """The pair."""
        pair: Pair = shard.payload
        return pair


@dataclass(frozen=True)
class Neurons:
    """Neurons of several layers one after another, with their directions and descriptions."""

    layers: Int[np.ndarray, "neuron"]
    numbers: Int[np.ndarray, "neuron"]
    directions: Float[np.ndarray, "neuron embed"]
    indices: Int[np.ndarray, "neuron atom"]
    weights: Float[np.ndarray, "neuron atom"]


@dataclass(frozen=True)
class Material:
    """What words are mined from, as arrays that processes of a node can share."""

    classes: Mapping[str, Float[np.ndarray, "embed"]]
    pool: PreparedTexts
    neurons: Mapping[str, Neurons]


def _neurons(run: Run, source: WordSource, layers: Sequence[int]) -> Neurons:
    """The neurons of these layers; ValueError where there are none, or descriptions of others."""
    own = [("layer", "in", list(layers))]
    columns = ["layer", "neuron", "direction"]
    rows = run.read(source.directions.name, source.table, columns=columns, filters=own)
    rows = rows.sort_by([("layer", "ascending"), ("neuron", "ascending")])
    place = "place" if source.texts == "neuron_words" else "atom"
    columns = ["layer", "neuron", place, "text_index", "weight"]
    words = run.read(source.descriptions.name, source.texts, columns=columns, filters=own)
    known, described = _numbered(rows), _numbered(words)
    if not len(known) or not np.isin(described, known).all():
        raise ValueError(
            f"{source.descriptions.name} describes other neurons of layers {list(layers)} than "
            f"{source.directions.name} has: name stages that belong together, and layers that they cover"
        )
    cells = np.searchsorted(known, described), words[place].to_numpy()
    shape = len(known), int(cells[1].max(initial=-1)) + 1
    indices, weights = np.full(shape, STOPPED, np.int64), np.zeros(shape, np.float32)
    indices[cells], weights[cells] = words["text_index"].to_numpy(), words["weight"].to_numpy()
    vectors = tensor(rows["direction"]).numpy()
    return Neurons(rows["layer"].to_numpy(), rows["neuron"].to_numpy(), vectors, indices, weights)


def _numbered(rows: pa.Table) -> Int[np.ndarray, "row"]:
    """One number per layer and neuron."""
    layer, neuron = (rows[name].to_numpy().astype(np.int64) for name in ("layer", "neuron"))
    return np.asarray((layer << 32) + neuron)


@dataclass(frozen=True)
class Contributions:
    """What some neurons have given to the texts of their descriptions."""

    neurons: Neurons
    chosen: Int[Tensor, "chosen"]
    projections: Float[Tensor, "neuron"]
    contributions: Float[Tensor, "chosen atom"]


class WordsWorker:
    """Mines one pair after another."""

    def __init__(self, stage: WordsStage, shared: Material, sentences: Sentences) -> None:
        self.stage, self.shared, self.sentences = stage, shared, sentences
        self.words = np.array(shared.pool.words, dtype=object)
        self.texts = unchanging(shared.pool.matrix)

    @torch.inference_mode()
    def process(self, loaded: Pair, advance: Advance) -> Output:
        """The tables `words` and `word_neurons`."""
        judge = Judge(*loaded, self.stage.rules, self.sentences)
        found = {name: [tables.schema(name).empty_table()] for name in self.stage.writes}
        for one in experiments([loaded], self.stage.methods, self.stage.repeats):
            scores, contributed = self._mined(one)
            columns, cues = self._listed(scores, judge)
            found["words"].append(_table("words", one, columns))
            if contributed:
                columns = _given(contributed, cues, self.words)
                found["word_neurons"].append(_table("word_neurons", one, columns))
            advance(1)
        return Output({name: pa.concat_tables(parts) for name, parts in found.items()})

    def _mined(self, one: Experiment) -> tuple[Float[Tensor, "text"], Contributions | None]:
        c1, c2 = (self.shared.classes[name] for name in one.pair)
        direction = torch.from_numpy(c2 - c1)[None]
        if one.method == "similar":
            return cosines(direction, self.texts)[0], None
        neurons = self.shared.neurons[_SOURCES[one.method]]
        projections = direction @ unchanging(neurons.directions).T
        if one.method == "random":
            chosen = self._drawn(len(neurons.numbers), one)
        else:
            chosen = strongest_neurons(projections, self.stage.neurons)
        given = contributions(projections, chosen, unchanging(neurons.weights))
        texts = unchanging(neurons.indices)[chosen]
        scores = text_scores(given, texts, len(self.words), self.stage.scoring)
        return scores[0], Contributions(neurons, chosen[0], projections[0], given[0])

    def _drawn(self, total: int, one: Experiment) -> Int[Tensor, "1 chosen"]:
        seed = one.seed("neurons", self.stage.seed)
        order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
        return order[: self.stage.neurons].sort().values[None]

    def _listed(
        self, scores: Float[Tensor, "text"], judge: Judge
    ) -> tuple[dict[str, object], Int[Tensor, "cue"]]:
        """Columns of the best texts, and which of them are the cues: those that speak for c2 and are not c2."""
        order = ranked(scores[None])[0]
        order = order[scores[order] > 0]
        verdicts = judge.listed(self.words[order.numpy()].tolist(), self.stage.count)
        order, status = order[: len(verdicts)], [each.status for each in verdicts]
        columns = {
            "rank": np.arange(len(verdicts), dtype=np.int16),
            "text": pa.array(self.words[order.numpy()], pa.string()),
            "score": scores[order].numpy(),
            "similarity": np.array([each.similarity for each in verdicts], np.float32),
            "status": pa.array(status, pa.string()),
            "reason": pa.array([each.reason for each in verdicts], pa.string()),
        }
        return columns, order[torch.tensor([each == OK for each in status], dtype=torch.bool)]


def _given(
    contributed: Contributions, cues: Int[Tensor, "cue"], words: NDArray[np.object_]
) -> dict[str, object]:
    """Columns of what the cues were given, cue after cue."""
    indices = unchanging(contributed.neurons.indices)[contributed.chosen]
    rank = torch.full((len(words) + 1,), -1)  # the last for where descriptions have ended
    rank[cues] = torch.arange(len(cues))
    ranks = rank[indices]
    chosen, atom = (ranks >= 0).nonzero(as_tuple=True)
    order = ranks[chosen, atom].argsort(stable=True)
    chosen, atom = chosen[order], atom[order]
    neurons = contributed.chosen[chosen].numpy()
    return {
        "text": pa.array(words[indices[chosen, atom].numpy()], pa.string()),
        "layer": contributed.neurons.layers[neurons],
        "neuron": contributed.neurons.numbers[neurons],
        "weight": contributed.neurons.weights[neurons, atom.numpy()],
        "projection": contributed.projections.numpy()[neurons],
        "contribution": contributed.contributions[chosen, atom].numpy(),
    }


def _table(name: str, one: Experiment, columns: Mapping[str, Any]) -> pa.Table:
    """Rows of one experiment."""
    schema, rows = tables.schema(name), len(columns["text"])
    same = {
        key: pa.repeat(pa.scalar(value, schema.field(key).type), rows)
        for key, value in one.columns.items()
    }
    return table_of({**same, **columns}, schema)
