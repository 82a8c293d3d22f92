"""Concepts in bulk on a tiny model: against effects that are formed for once; failures, index, scores, report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from clipneuron.concepts.pipeline import ConceptsLine
from clipneuron.concepts.ready import finder_of, preprocess_of
from clipneuron.concepts.report import concepts_report, write_report
from clipneuron.concepts.sheet import concepts_sheet
from clipneuron.concepts.single import seen
from clipneuron.concepts.swept import left_out, swept_stages
from clipneuron.config import kinds
from clipneuron.config.concepts import METHODS
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.readers.sweep import Planned
from clipneuron.store.store import Run
from tests.samples.conceived import concepts_of
from tests.samples.world import TEXTS, clip, quiet_runner, write_pictures

pytestmark = pytest.mark.slow


class Done(NamedTuple):
    folder: Path
    line: ConceptsLine
    run: Run
    rows: pa.Table


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("concepts")
    line = concepts_of(folder)
    run, _ = line.run(quiet_runner())
    rows = run.read(line.results(run).concepts, "picture_concepts")
    return Done(folder, line, run, rows)


def of(rows: pa.Table, **wanted: object) -> list[dict[str, object]]:
    for name, value in wanted.items():
        rows = rows.filter(pc.equal(rows[name], value))
    return rows.to_pylist()


def test_scores_are_those_of_effects_that_are_formed(done: Done) -> None:
    """The mean over D taken off, norms above the quantile, times the weights of the long descriptions."""
    _, line, run, rows = done
    pictures = [one for one in line.looked.pictures.pictures if "005" not in one.image][:6]
    read = [clip().preprocess.decode(line.looked.pictures.read(one)) for one in pictures]
    keys = line.stages(Planned.of(run)).swept.results
    wanted = np.zeros((len(pictures), len(TEXTS)))
    with torch.inference_mode():
        trace = clip().trace(clip().preprocess.normalize(np.stack(read)))
        for layer in line.layers:
            own = [("layer", "==", layer)]
            known = run.read(keys.directions, "directions", filters=own).sort_by("neuron")
            mean, least = (np.array(known[n].to_pylist()) for n in ("mean", "quantile_98"))
            effects = SecondOrderLens(clip(), layer).effects(trace).numpy()
            norms = np.linalg.norm(effects - mean, axis=-1)
            for row in run.read(keys.descriptions, "descriptions", filters=own).to_pylist():
                strength = norms[:, row["neuron"]]
                wanted[:, row["text_index"]] += (
                    row["weight"] * strength * (strength > least[row["neuron"]])
                )
    some = False
    for number, picture in enumerate(pictures):
        found = of(rows, index=picture.index, method="second-order")
        named = [row for row in found if row["concept"] is not None]
        order = [
            place
            for place in np.argsort(-wanted[number], kind="stable")
            if wanted[number, place] > 0
        ]
        assert len(named) == min(4, len(order))
        for row in named:
            assert row["score"] == pytest.approx(wanted[number, row["text_index"]], rel=2e-3)
            assert TEXTS[row["text_index"]] == row["concept"]
            assert len(row["neurons"]) == len(row["layers"]) == len(row["given"]) <= 2
            assert row["given"] == sorted(row["given"], reverse=True)
            some = True
        assert [row["rank"] for row in named] == list(range(len(named)))
    assert some


def test_every_method_has_rows_of_every_picture_and_a_broken_one_its_reason(done: Done) -> None:
    _, line, run, rows = done
    good = rows.filter(pc.equal(rows["status"], "ok"))
    assert set(good["method"].to_pylist()) == set(METHODS)
    usable = {picture.index for picture in line.looked.pictures.pictures}
    (broken,) = of(rows, status="truncated") or of(rows, status="corrupt")
    assert broken["reason"]
    assert broken["method"] is broken["concept"] is broken["neurons"] is broken["activated"] is None
    usable.remove(broken["index"])
    for method in METHODS:
        own = good.filter(pc.equal(good["method"], method))
        assert set(own["index"].to_pylist()) == usable
    nothing = good.filter(pc.is_null(good["concept"]))
    assert all(
        row["rank"] is row["score"] is row["text_index"] is None for row in nothing.to_pylist()
    )
    assert run.verify() == []


def test_nearest_and_splice_are_about_the_embedding(done: Done) -> None:
    _, line, run, rows = done
    texts = torch.nn.functional.normalize(clip().encode_texts(TEXTS), dim=1)
    sample = line.stages(Planned.of(run)).effects
    centre = np.array(run.read(sample.name, "direct_effects")["embedding"].to_pylist()).mean(0)
    picture = line.looked.pictures.pictures[0]
    pixels = clip().preprocess.decode(line.looked.pictures.read(picture))[None]
    embedding = clip().encode_images(clip().preprocess.normalize(pixels))[0]
    unit = embedding / embedding.norm()
    cosines = texts @ unit
    for row in of(rows, index=picture.index, method="nearest"):
        assert row["score"] == pytest.approx(float(cosines[row["text_index"]]), rel=1e-3)
    from sklearn.linear_model import Lasso

    centred = torch.nn.functional.normalize(texts - texts.mean(0), dim=1).double().numpy()
    target = unit.double().numpy() - centre
    target /= np.linalg.norm(target)
    reference = Lasso(alpha=0.3 / len(target), positive=True, fit_intercept=False, tol=1e-10)
    weights = reference.fit(centred.T, target).coef_
    found = of(rows, index=picture.index, method="splice")
    named = {row["text_index"]: row["score"] for row in found if row["concept"]}
    assert {int(place) for place in np.flatnonzero(weights > 1e-3)} <= set(named)
    for text, score in named.items():
        assert score == pytest.approx(weights[text], abs=1e-3)


def test_the_index_has_every_concept_of_every_picture_sorted(done: Done) -> None:
    _, line, run, rows = done
    index = run.read(line.results(run).index, "concept_pictures").to_pylist()
    key = ("concept", "method", "index", "rank", "score")
    named = rows.filter(pc.is_valid(rows["concept"])).to_pylist()
    assert sorted(tuple(r[k] for k in key) for r in index) == sorted(
        tuple(r[k] for k in key) for r in named
    )
    order = [(row["concept"], row["method"], -row["score"], row["index"]) for row in index]
    assert order == sorted(order)


def test_scores_are_counted_against_the_labels(done: Done) -> None:
    _, line, run, rows = done
    results = line.results(run)
    scores = run.read(results.scores, "concept_scores")
    assert {row["by"] for row in of(scores, status="ok")} == {line.witness.name}
    for row in of(scores, status="ok"):
        name = row["image"].partition("/")[0]
        assert (row["present"], row["bound"]) == (1, pytest.approx(0.2))
        assert name in TEXTS
        named = of(rows, index=row["index"], method=row["method"])
        at = [found["rank"] for found in named if found["concept"] == name]
        if at:
            assert row["precision"] == pytest.approx(0.2)
            assert row["mean_rank"] == at[0] + 1
        else:
            assert row["mean_rank"] > len([n for n in named if n["concept"]])


def test_the_report_says_what_the_tables_hold(done: Done) -> None:
    _, line, run, _ = done
    report = concepts_report(line, run)
    page = report.markdown()
    for said in (
        "random ranking",
        "perfect ranking",
        "other-neurons",
        "concepts.png",
        report.verdict,
    ):
        assert said in page
    data = json.loads(report.files()["concepts.json"])
    assert [row["method"] for row in data["scores"]["methods"]] == list(METHODS)
    assert data["scores"]["limits"]["untold"] == 0
    assert data["scores"]["limits"]["chance_rank"] == 5.5
    assert report.files()["concepts.png"][1:4] == b"PNG"
    assert all(table.row_count for table in report.tables())
    assert Path(write_report(run, report)["report.md"]).read_text() == page


def test_a_single_picture_says_what_the_bulk_says_and_what_is_behind_it(done: Done) -> None:
    _, line, run, table = done
    recipe = line.sweep.recipe
    stages = swept_stages(run, recipe.concepts, "")
    assert left_out(recipe.concepts, stages) == []
    finder = finder_of(run, recipe, stages, clip())
    picture = line.looked.pictures.pictures[1]
    data = line.looked.pictures.read(picture)
    one = seen(finder, preprocess_of(finder, recipe), data, picture.image, 4, 2)
    rows = of(table, index=picture.index)
    for method, concepts in one.concepts.items():
        own = [row for row in rows if row["method"] == method and row["concept"]]
        assert [concept.text for concept in concepts] == [row["concept"] for row in own]
        for concept, row in zip(concepts, own, strict=True):
            assert concept.score == pytest.approx(row["score"], rel=1e-4)
            assert [source.neuron for source in concept.sources] == row["neurons"]
            assert [source.layer for source in concept.sources] == row["layers"]
    assert one.heats.shape == (len(one.concepts["second-order"]), 2, 2)
    assert one.activated == rows[0]["activated"]
    assert concepts_sheet([one, one], "twice").height > concepts_sheet([one], "once").height
    named = {"nearest": one.concepts["nearest"]}
    bare = replace(one, concepts=named, heats=one.heats[:0])
    assert concepts_sheet([bare], "without neurons").width < concepts_sheet([one], "once").width
    with pytest.raises(ValueError, match="at least one picture"):
        concepts_sheet([], "nothing")


def test_every_stage_is_of_a_kind_that_the_command_line_knows(done: Done) -> None:
    _, line, run, _ = done
    assert {stage.kind for stage in line.stages(Planned.of(run)).all} <= {*kinds.CONCEPTS}


def test_without_classes_there_are_no_scores_and_few_methods_need_no_sample(done: Done) -> None:
    asked = {
        "images": "",
        "methods": ("second-order-signed", "nearest"),
        "rule": "top",
        "described": "short",
    }
    line = concepts_of(done.folder, asked=asked)
    run, _ = line.run(quiet_runner())
    stages = line.stages(Planned.of(run))
    assert stages.effects is stages.heads is line.results(run).scores is None
    assert line.looked.swept == 12
    assert "12 of them were swept" in line.describe()
    report = concepts_report(line, run)
    assert report.judged is None
    assert "How true" not in report.markdown()
    rows = run.read(line.results(run).concepts, "picture_concepts")
    assert set(rows["method"].drop_null().to_pylist()) == {*asked["methods"]}


def test_pictures_of_one_pixel_and_of_one_colour_are_looked_at_and_noted(done: Done) -> None:
    from PIL import Image

    folder = write_pictures(done.folder / "odd", 3)
    Image.new("RGB", (1, 1), (9, 200, 30)).save(folder / "one.png")
    (folder / "text.png").write_text("no picture")
    (folder / "void.png").write_bytes(b"")
    line = concepts_of(done.folder, asked={"images": str(folder), "methods": ("second-order",)})
    run, _ = line.run(quiet_runner(max_failed_share=0.5))
    rows = run.read(line.results(run).concepts, "picture_concepts").to_pylist()
    assert {row["status"] for row in rows if row["image"] == "one.png"} == {"ok"}
    assert all("one colour" in row["note"] for row in rows if row["image"] == "one.png")
    failed = {row["image"]: row["status"] for row in rows if row["status"] != "ok"}
    assert failed == {"text.png": "not_an_image", "void.png": "empty"}


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        ({"concept_layers": (0, 7)}, {}, r"concepts.concept_layers.*\[7\].*not among"),
        ({"concept_layers": (1,)}, {"layers": (0,)}, r"concepts.concept_layers"),
        ({"images": "nowhere"}, {}, "nowhere"),
        ({"tag_column": "words"}, {}, "concepts.tag_column"),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(tmp_path, asked, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        concepts_of(tmp_path, asked=asked, **options)
