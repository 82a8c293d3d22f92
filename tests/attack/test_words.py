"""Words of pairs from tables of random neurons, against literal loops over the same numbers."""

import pickle
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from clipneuron.attack.cues import Rules
from clipneuron.attack.stages.words import WordSource, WordsStage
from clipneuron.engine.stage import Named, Stage
from clipneuron.models.language.sentences import ClipSentences
from clipneuron.readers.arrow import list_column, table_of
from clipneuron.store.store import Run, Store
from clipneuron.sweep.stages.classifier import ClassifierStage
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import METHODS, pair_key
from tests.samples.attack_world import called
from tests.samples.world import clip, quiet_runner

PAIRS = (("horse", "car"), ("stop sign", "yield"), ("car", "horse"))
EMBED, NEURONS, ATOMS, TEXTS = 12, 20, 5, 60
LAYERS = (1, 3)
POOL = [f"text {number}" for number in range(TEXTS - 4)] + ["horses", "red cars", "sedan", "sea"]
FLOATS = pa.list_(pa.float32())


@dataclass(frozen=True)
class Alike:
    """ "sedan" is a car and "text 7" much like anything, other texts are like nothing."""

    name: str = "alike"

    def similarities(self, texts: list[str], others: list[str]) -> torch.Tensor:
        like = {("sedan", "car"): 0.8}
        return torch.tensor(
            [
                [0.9 if text == "text 7" else like.get((text, o), 0.1) for o in others]
                for text in texts
            ]
        )


@cache
def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _zero(field: pa.Field) -> object:
    if field.nullable:
        return None
    return [] if pa.types.is_list(field.type) else 0


def rows(table: str, /, **columns: object) -> pa.Table:
    """A table with zeros in the columns that are not given."""
    schema = tables.schema(table)
    length = len(next(iter(columns.values())))
    rest = [field for field in schema if field.name not in columns]
    zeros = {field.name: pa.array([_zero(field)] * length, field.type) for field in rest}
    return table_of({**zeros, **columns}, schema)


def directed(name: str, layer: int, neurons: list[int], seed: int) -> pa.Table:
    vectors = numbers(seed, len(neurons), EMBED)
    vectors = torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return rows(
        name,
        layer=[layer] * len(neurons),
        neuron=neurons,
        direction=list_column(vectors, FLOATS),
    )


def described(layer: int, neurons: list[int], seed: int) -> pa.Table:
    """Descriptions of different lengths; each neuron's second text is one that is no cue."""
    dice = np.random.default_rng(seed)
    found = []
    for neuron in neurons:
        length = int(dice.integers(1, ATOMS + 1))
        texts = dice.permutation(TEXTS)[:length]
        if length > 1 and TEXTS - 4 + neuron % 4 not in texts:
            texts[1] = TEXTS - 4 + neuron % 4
        weights = dice.normal(size=length).astype(np.float32)
        found += [
            (neuron, atom, *pair) for atom, pair in enumerate(zip(texts, weights, strict=True))
        ]
    columns = dict(
        zip(("neuron", "atom", "text_index", "weight"), zip(*found, strict=True), strict=True)
    )
    return rows(
        "descriptions",
        layer=[layer] * len(found),
        text=[POOL[text] for text in columns["text_index"]],
        **columns,
    )


def spoken(described: pa.Table) -> pa.Table:
    """Words of the same neurons as the long descriptions: the first two texts, refitted to half of their weights."""
    few = described.filter(pc.less(described["atom"], 2))
    columns = {name: few[name] for name in ("layer", "neuron", "text", "text_index")}
    return rows("neuron_words", **columns, place=few["atom"], weight=pc.divide(few["weight"], 2.0))


def describe(run: Run, stage: str, key: str, layer: int, neurons: list[int], seed: int) -> None:
    long = described(layer, neurons, seed)
    run.commit(stage, key, {"descriptions": long, "neuron_words": spoken(long)})


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    run = Store(tmp_path_factory.mktemp("words")).open_run("words", {"seed": 0})
    classes = sorted({name for pair in PAIRS for name in pair})
    embedded = list_column(torch.from_numpy(numbers(1, len(classes), EMBED)), FLOATS)
    named = rows("classifier", label=range(len(classes)), name=classes, embedding=embedded)
    run.commit("names", "000000", {"classifier": named})
    embedded = list_column(torch.from_numpy(numbers(2, TEXTS, EMBED)), FLOATS)
    pool = rows("text_embeddings", text_index=range(TEXTS), text=POOL, embedding=embedded)
    run.commit("texts", "000000", {"text_embeddings": pool})
    # The second half first: the order of shards is not that of neurons.
    halves = (list(range(NEURONS // 2, NEURONS)), list(range(NEURONS // 2)))
    for layer in (0, *LAYERS):
        for half, neurons in enumerate(halves):
            key, seed = f"layer-{layer}-{half}", 10 * layer + half
            run.commit(
                "directions", key, {"directions": directed("directions", layer, neurons, seed)}
            )
            describe(run, "descriptions", key, layer, neurons, seed)
    few = [2, 5, 11]
    run.commit(
        "indirect", "all", {"indirect_directions": directed("indirect_directions", 3, few, 50)}
    )
    describe(run, "indirect-descriptions", "all", 3, few, 51)
    return run


SOURCE = WordSource(Named("directions"), Named("descriptions"))


def stage_of(**options: object) -> WordsStage:
    sources = {
        "second-order": SOURCE,
        "second-order-paper": replace(SOURCE, texts="descriptions"),
        "indirect": WordSource(
            Named("indirect"), Named("indirect-descriptions"), "indirect_directions"
        ),
    }
    fields = {
        "pairs": PAIRS,
        "methods": METHODS,
        "repeats": 2,
        "classes": Named("names"),
        "texts": Named("texts"),
        "sources": sources,
        "layers": LAYERS,
        "sentences": Alike,
        "rules": Rules(0.6, ("text 3",)),
        "neurons": 15,
        "count": 6,
    }
    return called(WordsStage(**{**fields, **options}))


def made(stage: Stage, run: Run, **only: object) -> dict[str, list[dict[str, object]]]:
    """The rows of all shards, by table, of which the columns are as told."""
    found = defaultdict(list)
    worker = stage.build(stage.share(run))
    for shard in stage.shards(run):
        output = worker.process(stage.loader(run).load(shard), lambda rows: None)
        for name, table in output.tables.items():
            for row in tables.conform(name, table).to_pylist():
                if all(row[key] == value for key, value in only.items()):
                    found[name].append(row)
    return found


@dataclass(frozen=True)
class Literal:
    """What a pair's chosen neurons give to which text, read row by row."""

    run: Run

    def direction(self, pair: tuple[str, str]) -> np.ndarray:
        table = self.run.read("names", "classifier").to_pylist()
        known = {row["name"]: np.array(row["embedding"], np.float64) for row in table}
        return known[pair[1]] - known[pair[0]]

    def projections(
        self, pair, stage="directions", table="directions"
    ) -> dict[tuple[int, int], float]:
        v = self.direction(pair)
        return {
            (row["layer"], row["neuron"]): float(np.dot(np.array(row["direction"], np.float64), v))
            for row in self.run.read(stage, table).to_pylist()
            if row["layer"] in LAYERS
        }

    def given_by(
        self, projections, chosen, stage="descriptions", texts="neuron_words"
    ) -> dict[str, dict[tuple[int, int], float]]:
        found = defaultdict(dict)
        for row in self.run.read(stage, texts).to_pylist():
            neuron = row["layer"], row["neuron"]
            if neuron in chosen:
                found[row["text"]][neuron] = row["weight"] * projections[neuron]
        return found


def strongest(projections: dict, count: int) -> set:
    return set(sorted(projections, key=lambda n: -abs(projections[n]))[:count])


def literal_status(text: str, c2: str, c1: str) -> str:
    if (
        text == "text 7"
        or (c2 == "car" and text in ("sedan", "red cars"))
        or (c2, text) == ("horse", "horses")
    ):
        return "synonym"
    named = (c1, text) in (("horse", "horses"), ("car", "red cars"))
    return "blocked" if named or text in ("text 3",) else "ok"


def check_list(
    found: list[dict], scores: dict[str, float], pair: tuple[str, str], count: int
) -> None:
    """Whether a list is the positive scores from the top, judged, with enough surplus."""
    order = sorted((t for t in POOL if scores.get(t, 0) > 0), key=lambda t: -scores[t])
    assert [row["text"] for row in found] == order[: len(found)]
    assert [row["rank"] for row in found] == list(range(len(found)))
    np.testing.assert_allclose(
        [row["score"] for row in found],
        [scores[row["text"]] for row in found],
        rtol=1e-4,
        atol=1e-6,
    )
    expected = [literal_status(text, pair[1], pair[0]) for text in order[: len(found)]]
    cues = [place for place, status in enumerate(expected) if status == "ok"]
    for place in cues[count:]:
        expected[place] = "surplus"
    assert [row["status"] for row in found] == expected
    assert len(found) == len(order) or len(found) == max(4 * count, cues[count - 1] + 1)


@pytest.mark.parametrize(("method", "sources"), [
    ("second-order", ("directions", "directions", "descriptions", "neuron_words")),
    ("second-order-paper", ("directions", "directions", "descriptions", "descriptions")),
    ("indirect", ("indirect", "indirect_directions", "indirect-descriptions", "neuron_words")),
])  # fmt: skip
@pytest.mark.parametrize("scoring", ["sum", "authors"])
def test_words_are_the_literal_sums_over_the_strongest_neurons(run, method, sources, scoring):
    stage, table, descriptions, texts = sources
    mined = made(stage_of(scoring=scoring), run, method=method)
    literal, kept = Literal(run), mined["words"]
    for pair in PAIRS:
        projections = literal.projections(pair, stage, table)
        given_by = literal.given_by(projections, strongest(projections, 15), descriptions, texts)
        whole = sum if scoring == "sum" else max
        scores = {text: whole(each.values()) for text, each in given_by.items()}
        for repeat in range(2):
            one = [r for r in kept if (r["pair"], r["repeat"]) == (":".join(pair), repeat)]
            assert one
            check_list(one, scores, pair, 6)
            cues = [r["text"] for r in one if r["status"] == "ok"]
            givers = defaultdict(dict)
            for row in mined["word_neurons"]:
                if (row["pair"], row["repeat"]) == (":".join(pair), repeat):
                    neuron = row["layer"], row["neuron"]
                    givers[row["text"]][neuron] = row["contribution"]
                    assert row["projection"] == pytest.approx(
                        projections[neuron], rel=1e-4, abs=1e-6
                    )
                    assert row["weight"] * row["projection"] == pytest.approx(
                        row["contribution"], rel=1e-5
                    )
            assert list(givers) == cues
            for text in cues:
                assert givers[text] == pytest.approx(given_by[text], rel=1e-4, abs=1e-6)


def test_every_status_is_met(run):
    found = made(stage_of(), run)["words"]
    assert {row["status"] for row in found} == {"ok", "synonym", "blocked", "surplus"}
    assert {(row["status"] == "ok") == (row["reason"] is None) for row in found} == {True}


def test_random_neurons_are_drawn_per_pair_and_repetition_and_are_the_same_again(run):
    def neurons(**options: object) -> dict[tuple[str, int], set[tuple[int, int]]]:
        found = defaultdict(set)
        for row in made(stage_of(count=60, neurons=15, **options), run, method="random")[
            "word_neurons"
        ]:
            found[row["pair"], row["repeat"]].add((row["layer"], row["neuron"]))
        return found

    one = neurons()
    assert one == neurons()
    lists = [*one.values(), *neurons(seed=1).values()]
    assert all(len(each) <= 15 for each in lists)
    assert len({frozenset(each) for each in lists}) == len(lists) == 12
    literal = Literal(run)
    rows_of = made(stage_of(count=60), run, method="random", pair="horse:car", repeat=0)
    projections = literal.projections(PAIRS[0])
    for row in rows_of["word_neurons"]:
        assert row["projection"] == pytest.approx(
            projections[row["layer"], row["neuron"]], abs=1e-5
        )
    assert one["horse:car", 0] != strongest(projections, 15)


def test_random_takes_all_neurons_where_there_are_no_more(run):
    every = stage_of(neurons=1000, methods=("random", "second-order"), repeats=1)
    found = made(every, run)["words"]
    lists = defaultdict(list)
    for row in found:
        lists[row["method"]].append((row["pair"], row["text"], row["status"]))
    assert lists["random"] == lists["second-order"]


def test_similar_words_are_the_nearest_to_v(run):
    mined = made(stage_of(), run, method="similar")
    assert not mined["word_neurons"]
    for pair in PAIRS:
        v = Literal(run).direction(pair)
        texts = numbers(2, TEXTS, EMBED).astype(np.float64)
        found = texts @ v / np.linalg.norm(texts, axis=1) / np.linalg.norm(v)
        scores = dict(zip(POOL, found.tolist(), strict=True))
        one = [r for r in mined["words"] if (r["pair"], r["repeat"]) == (":".join(pair), 1)]
        check_list(one, scores, pair, 6)


def test_the_same_shard_twice_gives_equal_tables_whatever_came_before(run):
    stage = stage_of(sentences=partial(ClipSentences, clip()), rules=Rules(0.99))
    quiet_runner().run([stage], run)
    shards = list(stage.shards(run))
    assert [shard.name for shard in shards] == [pair_key(pair) for pair in PAIRS]
    assert sorted(run.committed("words")) == sorted(shard.name for shard in shards)
    for shard in reversed(shards):
        worker, counted = stage.build(stage.share(run)), []
        output = worker.process(stage.loader(run).load(shard), counted.append)
        assert sum(counted) == shard.rows == 10
        assert set(output.tables) == set(stage.writes)
        for name, table in output.tables.items():
            assert table.equals(run.read("words", name, shards=[shard.name]))
            assert table.num_rows > 0


def test_the_stage_travels_and_reads_what_it_needs(run):
    stage = pickle.loads(pickle.dumps(stage_of()))
    assert made(stage, run) == made(stage_of(), run)
    assert [read.name for read in stage.reads] == [
        "names", "texts", "directions", "descriptions", "indirect", "indirect-descriptions",
    ]  # fmt: skip
    similar, random = stage_of(methods=("similar",), sources={}), stage_of(methods=("random",))
    assert [read.name for read in similar.reads] == ["names", "texts"]
    assert [read.name for read in random.reads] == ["names", "texts", "directions", "descriptions"]


def test_names_alone_make_the_class_direction(run):
    """The classifier stage's rows of bare names are what the stage subtracts."""
    classes = called(ClassifierStage(clip, ("horse", "car"), ("{}",)), "bare")
    texts = numbers(2, TEXTS, clip().embed)
    quiet_runner().run([classes], run)
    stage = stage_of(
        classes=Named("bare"), pairs=(("horse", "car"),), methods=("similar",), repeats=1
    )
    row = made(stage, run)["words"][0]
    one, two = torch.nn.functional.normalize(clip().encode_texts(["horse", "car"]), dim=1).numpy()
    v, text = two - one, texts[POOL.index(row["text"])]
    cosine = v @ text / np.linalg.norm(v) / np.linalg.norm(text)
    assert row["score"] == pytest.approx(cosine, abs=1e-5)


@pytest.mark.parametrize(("options", "message"), [
    ({"methods": ("best",)}, "expected methods among"),
    ({"repeats": 0}, "at least 1 repeat"),
    ({"sources": {"second-order": SOURCE}}, r"descriptions of \['indirect', 'second-order-paper'\]"),
    ({"pairs": (("cat", "cat"),)}, "two different classes"),
])  # fmt: skip
def test_what_does_not_fit_together_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        stage_of(**options)


def test_tables_that_do_not_fit_together_are_refused(run):
    with pytest.raises(ValueError, match=r"\['unicorn'\] are not among the 4"):
        stage_of(pairs=(("horse", "unicorn"),)).share(run)
    with pytest.raises(ValueError, match="stages that belong together"):
        stage_of(layers=(7,)).share(run)
    other = {
        "second-order": WordSource(Named("indirect"), Named("descriptions"), "indirect_directions")
    }
    with pytest.raises(ValueError, match="stages that belong together"):
        replace(stage_of(), methods=("random",), sources=other).share(run)
