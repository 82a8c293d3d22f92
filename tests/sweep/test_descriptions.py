"""Descriptions of two lengths: judged before the work, marked where they say nothing, made anew for old runs."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch
from torch.nn.functional import normalize

from clipneuron.engine.stage import Named, Output
from clipneuron.evidence.stages.reconstructions import ReconstructionsStage
from clipneuron.lens.pursuit import prepare, solutions
from clipneuron.readers.arrow import list_column, tensor
from clipneuron.readers.sweep import NeuronBlock, PreparedTexts
from clipneuron.store.store import Run
from clipneuron.sweep import lengths
from clipneuron.sweep.neurons import neuron_cards, without_words
from clipneuron.sweep.notes import run_notes
from clipneuron.sweep.results import SweepResults
from clipneuron.sweep.stages.descriptions import BOUND, DescriptionsStage
from tests.samples.world import TEXTS, finished, quiet_runner, reproduction_of, sweep_of

pytestmark = pytest.mark.slow


def stage_of(**options: object) -> DescriptionsStage:
    fields: dict[str, object] = {"neurons": 8, "block": 8, "atoms": 3, "words": 2}
    fields |= {"preparation": "unit", "device": "cpu", "negative": True, **options}
    return DescriptionsStage(Named("texts"), Named("directions"), "x", (0,), **fields)  # type: ignore[arg-type]


def described(stage: DescriptionsStage, texts: torch.Tensor, directions: torch.Tensor) -> Output:
    words = tuple(f"text {number}" for number in range(len(texts)))
    worker = stage.build(PreparedTexts(words, texts.numpy()))
    rows = {
        "neuron": pa.array(range(len(directions)), pa.int32()),
        "direction": list_column(directions, pa.list_(pa.float32())),
    }
    block = NeuronBlock(0, 0, len(directions))
    return worker.process((block, pa.table(rows)), lambda rows: None)


def test_a_text_that_others_made_superfluous_is_no_word() -> None:
    """The third text is found first; beside the other two its weight would be negative, so it is none of the sum."""
    texts = normalize(torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0.3]]), dim=1)
    stage = stage_of(neurons=1, atoms=3, words=3, negative=False)
    found = described(stage, texts, normalize(torch.tensor([[1.0, 1, -0.1]]), dim=1)).tables
    assert sorted(found["neuron_words"]["text"].to_pylist()) == ["text 0", "text 1"]
    assert min(found["neuron_words"]["weight"].to_pylist()) > 0
    assert found["pursuits"]["words"].to_pylist() == [2]


def test_a_process_without_a_gpu_describes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster whose models are on GPUs, tasks of neurons have none."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    shared = PreparedTexts(("a", "b"), torch.eye(2).numpy())
    assert stage_of(device="cuda").build(shared).texts.device.type == "cpu"
    evidence = ReconstructionsStage(
        Named("texts"),
        Named("directions"),
        Named("descriptions"),
        "x",
        (0,),
        8,
        8,
        (1,),
        "unit",
        "cuda",
    )
    assert evidence.build(shared).texts.device.type == "cpu"


@pytest.mark.parametrize(("field", "asked", "embed", "texts", "message"), [
    ("recipe.atoms", [128], 128, 30_000, "`recipe.atoms` asks for .* of 128 texts in .* 128 dimensions.*at most 64"),
    ("recipe.atoms", [65], 128, 30_000, "paper's ratio, a quarter, is 32"),
    ("evaluation.sizes", [4, 7], 12, 100, "`evaluation.sizes` asks for .* 7 texts .* at most 6"),
    ("recipe.atoms", [32], 512, 20, "the pool x has 20: ask for at most 20, or give a larger pool"),
])  # fmt: skip
def test_more_texts_than_the_space_or_the_pool_allows_are_refused(
    field: str, asked: list[int], embed: int, texts: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        lengths.check(field, asked, embed, texts, "x")


def test_what_the_space_allows_is_not_refused_and_much_of_it_is_warned_of() -> None:
    lengths.check("recipe.atoms", [64, 4], 128, 64, "x")
    assert "more than a quarter of the 128 dimensions" in lengths.warning("recipe.atoms", 33, 128)
    assert lengths.warning("recipe.atoms", 32, 128) == ""
    assert lengths.warning("recipe.atoms", 128, 512) == ""


def test_the_defaults_follow_the_dimensions(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, atoms=None, words=3)
    assert (sweep.clip.embed, sweep.atoms) == (12, 3)
    assert "dimensions: weights" not in sweep.describe()
    reproduction = reproduction_of(tmp_path, asked={"sizes": ()})
    assert reproduction.sizes == (3,)
    assert lengths.usual_sizes(lengths.usual(512, 30_000)) == (4, 8, 16, 32, 64, 128)


def test_a_sweep_and_a_reproduction_are_judged_before_any_work(tmp_path: Path) -> None:
    for option in ("atoms", "words"):
        with pytest.raises(ValueError, match=f"`recipe.{option}` asks for descriptions of 7"):
            sweep_of(tmp_path, **{option: 7})
    with pytest.raises(ValueError, match=r"`evaluation.sizes` asks for descriptions of 7"):
        reproduction_of(tmp_path, asked={"sizes": (1, 7)})
    assert not (tmp_path / "store").exists()
    assert "note      `recipe.atoms` 4 is more" in sweep_of(tmp_path, atoms=4).describe()


def test_a_pool_of_too_low_a_rank_is_refused_before_any_pass_over_pictures(tmp_path: Path) -> None:
    few = tmp_path / "few.txt"
    few.write_text("\n".join(TEXTS[:4]))
    # Their mean is taken off, so that 4 texts extend in 3 directions.
    sweep = sweep_of(tmp_path, pool=str(few), preparation="centered", atoms=4)
    run = sweep.open()
    with pytest.raises(ValueError, match="4 texts of few, prepared centered, extend in 3 indep"):
        sweep.run(quiet_runner())
    assert [name.partition("-")[0] for name in run.stages()] == ["plan", "texts"]
    sweep_of(tmp_path, pool=str(few), preparation="centered", atoms=3).run(quiet_runner())


def test_the_words_are_the_first_texts_refitted_by_falling_weight() -> None:
    dice = torch.Generator().manual_seed(1)
    texts = prepare(torch.randn(30, 16, generator=dice))
    directions = normalize(torch.randn(8, 16, generator=dice), dim=1)
    tables = described(stage_of(atoms=8, words=3), texts, directions).tables
    long, short = solutions(directions, texts, [8, 3])
    words = tables["neuron_words"].to_pylist()
    assert len(words) == 24
    for neuron in range(8):
        own = [row for row in words if row["neuron"] == neuron]
        assert [row["place"] for row in own] == [0, 1, 2]
        order = short.weights[neuron].abs().argsort(descending=True)
        assert [row["text_index"] for row in own] == short.indices[neuron, order].tolist()
        assert [row["weight"] for row in own] == pytest.approx(
            short.weights[neuron, order].tolist()
        )
        assert all(row["text"] == f"text {row['text_index']}" for row in own)
    pursuits = tables["pursuits"]
    assert pursuits["atoms"].to_pylist() == [8] * 8
    assert pursuits["words"].to_pylist() == [3] * 8
    torch.testing.assert_close(tensor(pursuits["condition"]), long.conditions)
    torch.testing.assert_close(tensor(pursuits["words_largest_weight"]), short.largest)
    assert tables["descriptions"].num_rows == 64


def test_words_without_negative_weights_come_from_a_non_negative_pursuit() -> None:
    dice = torch.Generator().manual_seed(2)
    texts = prepare(torch.randn(30, 16, generator=dice))
    directions = normalize(torch.randn(8, 16, generator=dice), dim=1)
    stages = [stage_of(atoms=4, words=3, negative=negative) for negative in (True, False)]
    both, positive = (described(stage, texts, directions).tables for stage in stages)
    (expected,) = solutions(directions, texts, [3], nonnegative=True)
    found = positive["neuron_words"].group_by("neuron").aggregate([("weight", "sum")])
    torch.testing.assert_close(tensor(found["weight_sum"]).float(), expected.weights.sum(dim=1))
    assert min(positive["neuron_words"]["weight"].to_pylist()) >= 0
    assert min(both["neuron_words"]["weight"].to_pylist()) < 0
    assert positive["descriptions"].equals(both["descriptions"])
    assert stages[0].name != stages[1].name


def test_summands_that_cancel_each_other_are_marked_and_give_no_words() -> None:
    """A direction between two nearly equal texts is their difference, which says nothing of either."""
    one, other = torch.eye(3)[0], normalize(torch.tensor([1.0, 0.2, 0.0]), dim=0)
    texts = torch.stack([one, other])
    directions = torch.stack([normalize(torch.tensor([-0.2, 1.0, 0.1]), dim=0), torch.eye(3)[0]])
    tables = described(stage_of(neurons=2, atoms=2, words=2), texts, directions).tables
    crossed, plain = tables["pursuits"].to_pylist()
    assert crossed["words_largest_weight"] > BOUND
    assert crossed["words_note"].startswith("ill-conditioned: the longest of 2 summands is ")
    assert f"of which {BOUND:g} is too much; condition number 10" in crossed["words_note"]
    assert crossed["note"] == crossed["words_note"]
    assert (plain["note"], plain["words_note"]) == (None, None)
    assert {row["neuron"] for row in tables["neuron_words"].to_pylist()} == {1}
    assert {row["neuron"] for row in tables["descriptions"].to_pylist()} == {0, 1}
    short = described(stage_of(neurons=2, atoms=2, words=1), texts, directions).tables
    assert [row["words_note"] for row in short["pursuits"].to_pylist()] == [None, None]
    assert {row["neuron"] for row in short["neuron_words"].to_pylist()} == {0, 1}


def test_a_direction_of_nothing_has_no_words_and_no_note() -> None:
    tables = described(stage_of(neurons=1), torch.eye(3), torch.zeros(1, 3)).tables
    (row,) = tables["pursuits"].to_pylist()
    assert (row["atoms"], row["words"], row["note"], row["condition"]) == (0, 0, None, 1)
    assert tables["neuron_words"].num_rows == 0


def test_a_run_says_what_is_alike_and_what_is_ill_conditioned(tmp_path: Path) -> None:
    sweep, run = finished(tmp_path, atoms=3, words=2, limit=5)
    stages = sweep.stages(sweep.planned(quiet_runner())[1])
    (found,) = run.read(stages.pool.name, "pools").to_pylist()
    assert (found["texts"], found["rank"]) == (10, 10)
    committed(run, stages.pool.name, "pools", alike=0)
    committed(run, stages.descriptions.name, "pursuits", note=None, words_note=None)
    assert run_notes(run) == []
    committed(run, stages.pool.name, "pools", alike=2, text="cat", other="cats", cosine=0.995)
    committed(run, stages.descriptions.name, "pursuits", note="ill-conditioned: ...")
    alike, conditioned = run_notes(run)
    assert alike.startswith("2 texts of 10 texts nearly equal to another")
    assert "'cat' and 'cats' (0.9950)" in alike
    neurons = len(sweep.layers) * sweep.clip.neurons
    assert f"of {neurons} neurons: {neurons} long descriptions (`recipe.atoms`)" in conditioned


def committed(run: Run, stage: str, table: str, **values: object) -> None:
    """The same commits with other values in one table."""
    for shard, commit in run.committed(stage).items():
        tables = {
            item.table: run.read(stage, item.table, shards=[shard]) for item in commit.objects
        }
        rows = tables[table]
        for name, value in values.items():
            kind = rows.schema.field(name)
            column = pa.array([value] * rows.num_rows, kind.type)
            rows = rows.set_column(rows.schema.get_field_index(name), kind, column)
        run.objects.delete(f"commits/{stage}/{shard}.json")
        run.commit(stage, shard, {**tables, table: rows})


def test_an_old_run_is_described_anew_without_a_new_sweep(tmp_path: Path) -> None:
    sweep, run = finished(tmp_path, words=1)
    new = sweep.results(run)
    words = [card.words for card in neuron_cards(run, new, 0, [0, 1])]
    assert all(len(own) == 1 for own in words)
    old = {"descriptions": run.read(new.descriptions, "descriptions")}
    run.commit("descriptions-old", "0", old)
    keys = SweepResults(
        name="old", layers=new.layers, directions=new.directions, descriptions="descriptions-old"
    )
    assert without_words(run, new.descriptions) == ""
    assert "give the run's command once more" in without_words(run, "descriptions-old")
    assert [card.words for card in neuron_cards(run, keys, 0, [0, 1])] == [(), ()]
    before = set(run.stages())
    longer, again = finished(tmp_path, words=2)
    assert {name.partition("-")[0] for name in set(again.stages()) - before} == {"descriptions"}
    found = neuron_cards(again, longer.results(again), 0, range(8))
    assert {len(card.words) for card in found} <= {0, 2}
