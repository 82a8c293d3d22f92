"""Two runs of tables only: what was planted is named, and nothing else; what cannot be compared is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipneuron.operations.compare.comparison import Comparison
from clipneuron.operations.compare.report import CompareReport
from clipneuron.operations.compare.sides import Side
from clipneuron.operations.compare.summary import overall
from clipneuron.operations.compare.words import noise_floor
from clipneuron.store import parquet
from tests.samples.compared import World, exchanged, renamed, world, written

PLANTED = [((0, 1), (1, 4)), ((1, 7), (1, 11))]
"""Pairs of neurons whose directions and words are exchanged."""


def compared(root: Path, one: World, other: World, **more: object) -> Comparison:
    return Comparison.of(
        Side.of(written(root / "a", one, **more)), Side.of(written(root / "b", other, **more))
    )


def named(found: Comparison) -> set[tuple[int, int]]:
    return {(row["layer"], row["neuron"]) for row in CompareReport(found, show=50).rows}


@pytest.mark.parametrize("blocks", [(5, 5), (5, 7), (1, 12)])
def test_exactly_the_planted_neurons_are_named(tmp_path, blocks):
    one = world()
    a, b = (
        written(tmp_path / name, made, block=block)
        for name, made, block in zip("ab", (one, exchanged(one, PLANTED)), blocks, strict=True)
    )
    found = Comparison.of(Side.of(a), Side.of(b))
    assert named(found) == {place for pair in PLANTED for place in pair}
    cosines = {(row["layer"], row["neuron"]): row["cosine"] for row in found.neurons.to_pylist()}
    assert cosines[0, 0] == pytest.approx(1)
    rows = one.direction[0][1], one.direction[1][4]
    truth = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
    assert cosines[0, 1] == pytest.approx(abs(truth) if truth <= -0.5 else truth, abs=1e-5)


def test_words_gained_and_lost_are_those_of_the_exchange(tmp_path):
    one = world()
    found = compared(tmp_path, one, exchanged(one, PLANTED))
    row = next(r for r in CompareReport(found).rows if (r["layer"], r["neuron"]) == (1, 7))
    signed = {
        place: [f"{'-' if weight < 0 else '+'}{text}" for text, weight in one.words[place]]
        for place in ((1, 7), (1, 11))
    }
    assert row["words_lost"] == [w for w in signed[1, 7] if w not in signed[1, 11]]
    assert row["words_gained"] == [w for w in signed[1, 11] if w not in signed[1, 7]]
    for change in found.words.by_word():
        assert change.net == change.neurons_b - change.neurons_a == 0
        assert change.gained == change.lost > 0


def test_a_word_that_many_neurons_took_up_comes_first(tmp_path):
    one = world()
    words = dict(one.words)
    for neuron in range(6):
        words[0, neuron] = [
            ("violin" if place == 0 else text, weight)
            for place, (text, weight) in enumerate(words[0, neuron])
        ]
    found = compared(tmp_path, one, replace(one, words=words))
    first = found.words.by_word()[0]
    assert (first.word, first.gained, first.lost, first.neurons_a) == ("+violin", 6, 0, 0)
    assert named(found) == {(0, neuron) for neuron in range(6)}


def test_a_word_that_moved_one_way_comes_before_those_that_many_neurons_moved_to_and_fro(tmp_path):
    """A few of 600 neurons take up a word; each of the common ones is exchanged by a hundred or more."""
    dice, one = np.random.default_rng(5), world(layers=(0,), neurons=600)

    def spoken() -> list[str]:
        common = dice.choice([f"common {n}" for n in range(6)], 2, False).tolist()
        return [*common, f"rare {dice.integers(40)}"]

    def said(words: dict[int, list[str]]) -> dict[tuple[int, int], list[tuple[str, float]]]:
        return {
            (0, neuron): [(text, float(dice.uniform(0.2, 0.6))) for text in texts]
            for neuron, texts in words.items()
        }

    before, after = ({neuron: spoken() for neuron in range(600)} for _ in "ab")
    for neuron in range(0, 600, 24):
        after[neuron][2] = "violin"
    a, b = (replace(one, words=said(words)) for words in (before, after))
    ranked = compared(tmp_path, a, b).words.by_word()
    assert ranked[0].word == "+violin"
    assert abs(ranked[0].z) > noise_floor(len(ranked)) > abs(ranked[1].z)
    moved = {change.word: change.gained + change.lost for change in ranked}
    assert min(moved[f"+common {n}"] for n in range(6)) > 5 * moved["+violin"]
    assert ranked[0].shift == pytest.approx(
        sum(weight for words in b.words.values() for text, weight in words if text == "violin"),
        abs=1e-4,
    )


def test_a_word_that_changed_its_sign_is_lost_and_gained(tmp_path):
    one = world()
    words = dict(one.words) | {(0, 3): [(text, -weight) for text, weight in one.words[0, 3]]}
    (row,) = CompareReport(compared(tmp_path, one, replace(one, words=words))).rows
    text = one.words[0, 3][0][0]
    assert f"+{text}" in row["words_lost"]
    assert f"-{text}" in row["words_gained"]


def test_an_axis_that_was_turned_around_did_not_change(tmp_path):
    one = world()
    direction = {layer: rows.copy() for layer, rows in one.direction.items()}
    direction[1][2] *= -1
    words = dict(one.words) | {(1, 2): [(text, -weight) for text, weight in one.words[1, 2]]}
    found = compared(tmp_path, one, replace(one, direction=direction, words=words))
    assert named(found) == set()
    assert overall(found).flipped == 1


def test_silent_neurons(tmp_path):
    one = world()
    notes = {(0, 0): "dead: it adds nothing"}
    found = compared(
        tmp_path,
        replace(one, notes=notes),
        replace(one, notes=notes | {(0, 1): "dead: it adds nothing"}),
    )
    assert named(found) == {(0, 1)}
    total = overall(found)
    assert (total.silent_in_one, total.below) == (1, pytest.approx(1 / 24))
    assert "none in B" in {cell for row in CompareReport(found).neurons for cell in row}


def test_norms_and_top_pictures_are_those_of_the_tables(tmp_path):
    one = world()
    norms = {layer: values.copy() for layer, values in one.norms.items()}
    norms[0][:, 5] = norms[0][::-1, 5]  # other pictures, same sizes
    norms[1] = norms[1] * 2
    found = compared(tmp_path, one, replace(one, norms=norms)).neurons.to_pylist()
    top = [set(np.argsort(-values[0][:, 5])[:6]) for values in (one.norms, norms)]
    assert found[5]["top_shared"] == pytest.approx(len(top[0] & top[1]) / 6)
    assert [row["top_shared"] for row in found if row["neuron"] != 5 or row["layer"]] == [1.0] * 23
    assert found[5]["mean_norm_a"] == pytest.approx(one.norms[0][:, 5].mean())
    assert found[12]["mean_norm_b"] == pytest.approx(2 * found[12]["mean_norm_a"])
    assert found[12]["threshold_b"] == pytest.approx(2 * found[12]["threshold_a"])


def test_pictures_are_found_by_their_ids_where_collections_differ(tmp_path):
    one = world()
    same = compared(tmp_path / "x", one, renamed(one, images="others"))
    assert set(same.neurons["top_shared"].to_pylist()) == {1.0}
    other = compared(tmp_path / "y", one, replace(renamed(one, images="others"), prefix="new-"))
    assert np.isnan(other.neurons["top_shared"].to_numpy()).all()
    assert any("no picture in common" in note for note in other.notes)


def test_why_they_differ_is_said_field_by_field(tmp_path):
    one = world()
    a = written(
        tmp_path,
        one,
        details={"recipe": {"pool": "demo", "attack": {"words": 4}}, "clipneuron": "1"},
    )
    b = written(
        tmp_path,
        renamed(one, top=8),
        details={"recipe": {"pool": "words-10k", "attack": {"words": 5}}, "clipneuron": "2"},
    )
    found = Comparison.of(Side.of(a), Side.of(b)).reasons
    assert [tuple(reason) for reason in found] == [
        ("identity", "top", "6", "8"),
        ("recipe", "attack.words", "4", "5"),
        ("recipe", "pool", '"demo"', '"words-10k"'),
        ("version", "clipneuron", '"1"', '"2"'),
    ]


def test_scores_and_accuracies_of_both(tmp_path):
    one = world()
    other = replace(
        one,
        correlation={layer: values - 0.25 for layer, values in one.correlation.items()},
        accuracy={("none", -1, -1): 36, ("all", 0, -1): 20},
    )
    found = compared(tmp_path, one, other, scores=True, accuracies=True)
    before, after = overall(found).scores["correlation"]
    assert before - after == pytest.approx(0.25)
    assert before == pytest.approx(np.mean([*one.correlation.values()]))
    worst, rest = found.accuracies
    assert (tuple(worst.ablation), worst.a, worst.b, worst.pictures_a) == (
        ("all", 0, -1),
        0.75,
        0.5,
        40,
    )
    assert rest.difference == 0


def test_pictures_are_named_whose_concepts_changed(tmp_path):
    seven = [f"word {number}" for number in range(7)]
    before = {"a.png": seven, "b.png": ["ship", "car"], "c.png": ["egg"], "gone.png": ["egg"]}
    after = {"c.png": ["egg"], "b.png": ["car", "ship"], "a.png": ["new", *seven[1:4], seven[5]]}
    one = replace(world(), concepts={"second-order": before, "nearest": before, "splice": before})
    other = replace(one, concepts={"nearest": before, "second-order": after})
    found = compared(tmp_path, one, other)
    changes, same = found.concepts
    assert (changes.method, same.method, same.mean_shared) == ("second-order", "nearest", 1)
    assert changes.pictures.to_pylist() == ["a.png", "b.png", "c.png"]
    assert changes.shared.tolist() == pytest.approx([3 / 5, 1, 1])
    assert changes.first_changed == pytest.approx(2 / 3)
    (row,) = changes.most_changed(9)
    assert (row["image"], row["lost"], row["gained"]) == (
        "a.png",
        ["word 0", "word 4"],
        ["new", "word 5"],
    )
    files = CompareReport(found).files()
    kept = parquet.decode(files["concepts-second-order.parquet"]).to_pylist()
    assert kept[1]["concepts_b"] == ["car", "ship"]
    assert json.loads(files["comparison.json"])["concepts"][0]["most_changed"] == [row]
    page = files["report.md"].decode()
    assert all(text in page for text in ("a.png", "word 0", "new", "concepts-METHOD.parquet"))
    titles = [str(table.title) for table in CompareReport(found).tables()]
    assert titles[-2:] == ["Concepts of pictures", "Pictures that changed most, by second-order"]
    alone = Comparison.of(found.a, Side.of(written(tmp_path / "none", world())))
    assert not alone.concepts
    assert any(note.startswith("only in A: concepts of pictures") for note in alone.notes)


def test_what_only_one_run_has_is_said(tmp_path):
    a = written(tmp_path / "a", world((0, 1)), scores=True)
    b = written(tmp_path / "b", world((1, 2)), accuracies=True)
    with pytest.raises(ValueError, match="different joint spaces"):  # other texts' embeddings
        Comparison.of(
            Side.of(a),
            Side.of(written(tmp_path / "c", renamed(world((1, 2), seed=1), model="two"))),
        )
    found = Comparison.of(Side.of(a), Side.of(b))
    assert set(found.neurons["layer"].to_pylist()) == {1}
    assert [note.partition(",")[0] for note in found.notes] == [
        "only in A: layers 0",
        "only in B: layers 2",
        "only in A: scores of words (`clipneuron explain`)",
        "only in B: ablation accuracies (`clipneuron reproduce`)",
    ]


def test_models_that_moved_a_little_are_compared_with_a_note(tmp_path):
    one = world()
    dice = np.random.default_rng(1)
    other = replace(
        renamed(one, model="two"), texts=one.texts + 0.1 * dice.normal(size=one.texts.shape)
    )
    found = compared(tmp_path, one, other)
    assert any("moved a little" in note for note in found.notes)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            world((2, 3)),
            "none in common: compare runs of the same layers, or `clipneuron compare --match`",
        ),
        (
            world(neurons=9),
            "layer 0 has 12 neurons in .* and 9 in .*: `clipneuron compare --match`",
        ),
        (renamed(world(embed=16), model="two"), "32 dimensions in A and 16 in B.*--match"),
        (
            renamed(world(seed=3), model="two"),
            "different joint spaces .*median cosine of 24 texts.*--match",
        ),
    ],
)
def test_what_cannot_be_compared_is_answered_with_what_can_be_done(tmp_path, other, message):
    with pytest.raises(ValueError, match=message):
        compared(tmp_path, world(), other)


@pytest.mark.parametrize("shard", ["layer-00-neurons-00000", "layer-01-neurons-00010"])
def test_a_run_that_is_not_complete_is_refused(tmp_path, shard):
    run = written(tmp_path, world(), leave_out=[shard])
    with pytest.raises(
        ValueError, match=r"not complete: directions has 5 of 6 shards.*own command again"
    ):
        Side.of(run)


def test_the_report_holds_everything(tmp_path):
    one = world()
    found = compared(tmp_path, one, exchanged(one, PLANTED), scores=True, accuracies=True)
    report = CompareReport(found, alerts=["too much"])
    files = report.files()
    assert set(files) == {
        "report.md",
        "comparison.json",
        "cosines.png",
        "layers.png",
        "accuracies.png",
    }
    page, data = files["report.md"].decode(), json.loads(files["comparison.json"])
    assert "> **too much.**" in page
    assert all(f"({name})" in page for name in files if name != "report.md")
    assert all(word.word in page for word in report.words)
    assert len(data["neurons"]) == 4
    assert data["all"]["below"] == pytest.approx(4 / 24)
    assert {layer["neurons"] for layer in data["layers"]} == {12}
