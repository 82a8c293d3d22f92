"""The line of work that measures the truth of words, on a tiny model with pictures that are written to disk."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from clipneuron.cli import main
from clipneuron.config import kinds
from clipneuron.data.opening import open_collection
from clipneuron.data.tags import told_in
from clipneuron.explanation import witness
from clipneuron.explanation.figures import Figures
from clipneuron.explanation.inputs import ClipWitness, hypernyms_in, terms_of
from clipneuron.explanation.report import explanation_report
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.models.clip.model import load_clip
from clipneuron.readers.sweep import Planned
from clipneuron.tables import registry as tables
from clipneuron.tables.halves import half_of
from tests.samples.explained import held_out, line_of
from tests.samples.towers import tiny_clip
from tests.samples.world import clip, quiet_runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    line = line_of(tmp_path_factory.mktemp("explained"))
    run, _ = line.run(quiet_runner())
    return line, run


def test_projections_are_those_of_the_effects(finished):
    line, run = finished
    stage = line.stages(Planned.of(run)).projections.name
    rows = run.read(stage, "projections").sort_by("index")
    assert rows["status"].to_pylist().count("ok") == rows.num_rows - 1
    (broken,) = (row for row in rows.to_pylist() if row["status"] != "ok")
    assert broken["reason"]
    assert broken["layer_0"] is None
    good = rows.filter(pa.compute.equal(rows["status"], "ok")).slice(0, 9)
    pictures = [line.collection.pictures[index] for index in good["index"].to_pylist()]
    read = [clip().preprocess.decode(line.collection.read(picture)) for picture in pictures]
    with torch.inference_mode():
        trace = clip().trace(clip().preprocess.normalize(np.stack(read)))
        for layer in line.sweep.layers:
            own = [("layer", "==", layer)]
            known = run.read(line.results(run).directions, "directions", filters=own)
            direction, mean = (
                torch.tensor(known.sort_by("neuron")[name].to_pylist())
                for name in ("direction", "mean")
            )
            effects = SecondOrderLens(clip(), layer).effects(trace) - mean
            wanted = torch.einsum("ind,nd->in", effects, direction)
            found = np.array(good[f"layer_{layer}"].to_pylist())
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


def test_every_stage_is_of_a_kind_that_the_command_line_knows(finished):
    line, run = finished
    known = {*kinds.EXPLANATION, "merge-1"}
    assert {stage.kind for stage in line.stages(Planned.of(run)).all} <= known


def test_every_describer_has_a_score_of_every_neuron(finished):
    line, run = finished
    figures = Figures(run, line.results(run))
    assert figures.describers[0] == "pursuit"
    for layer in line.sweep.layers:
        for describer in figures.describers:
            assert len(figures.values(layer, describer, "correlation")) == clip().neurons
    means = {row.describer: row.means["correlation"] for row in figures.leaderboard}
    assert means["best-word"] == max(means.values())
    assert {figures.by} == set(run.read(line.results(run).scores, "scores")["by"].to_pylist())


def test_the_output_side_is_the_mean_change_of_logits(finished):
    """What ablation takes off each class's logit, against effects that are formed for once."""
    line, run = finished
    stages = line.stages(Planned.of(run))
    layer, neuron = 1, 3
    own = [("layer", "==", layer)]
    known = run.read(stages.swept.directions.name, "directions", filters=own).sort_by("neuron")
    rows = run.read(stages.projections.name, "acting_effects", filters=own)
    rows = rows.filter(pa.compute.equal(rows["neuron"], neuron))
    mean = torch.tensor(known["mean"][neuron].as_py())
    total, count = torch.zeros(clip().embed), 0
    for picture in line.collection.pictures:
        try:
            pixels = clip().preprocess.decode(line.collection.read(picture))
        except Exception:
            continue
        with torch.inference_mode():
            trace = clip().trace(clip().preprocess.normalize(pixels[None]))
            effect = SecondOrderLens(clip(), layer).effects(trace, [neuron])[0, 0] - mean
        along = effect @ torch.tensor(known["direction"][neuron].as_py())
        if effect.norm() > known["threshold"][neuron].as_py() and along > 0:
            total, count = total + effect, count + 1
    assert sum(rows["count"].to_pylist()) == count > 0
    from clipneuron.lens.projections import mean_effects

    lens = SecondOrderLens(clip(), layer)
    from clipneuron.readers.sweep import mean_effects as means_of

    own_lens, _ = means_of(run, stages.swept.calibrate.name, (layer,))[layer].outside(lens)
    sums = [
        torch.tensor(rows[name].to_pylist()).sum(0, keepdim=True)
        for name in ("coefficients", "coordinates")
    ]
    found = mean_effects(
        torch.tensor([float(count)]),
        *sums,
        lens.basis([neuron]),
        own_lens.remainder_basis,
    )
    torch.testing.assert_close(found[0], total / count, rtol=2e-3, atol=1e-5)


def test_the_report_shows_best_selective_and_random_neurons_with_controls(finished):
    line, run = finished
    report = explanation_report(line, run, 2)
    page = report.markdown()
    for heading in ("Best explained", "Most selective", "A random sample", "distribution.png"):
        assert heading in page
    data = json.loads(report.files()["scores.json"])
    assert {"best", "selective", "random", "leaderboard", "layers"} <= set(data)
    assert all({"control", "bound", "low", "high"} <= set(card) for card in data["best"])
    for picture in ("distribution.png", "best-neurons.png"):
        assert report.files()[picture][1:4] == b"PNG"
    leading = [card["words"][0][0] for card in data["best"]]
    assert len(set(leading)) == len(leading) > 1
    scores = run.read(line.results(run).scores, "scores").to_pylist()
    lift = {
        (row["layer"], row["neuron"]): row["auprc_low"] / row["base_rate"]
        for row in scores
        if row["describer"] == "pursuit" and row["base_rate"] > 0
    }
    shown = [lift[card["layer"], card["neuron"]] for card in data["best"]]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == max(value for value in lift.values() if value == value)


def test_another_clip_is_a_witness_and_the_model_itself_is_none(finished, tmp_path, monkeypatch):
    other = load_clip(tiny_clip(layers=2, width=16, embed=8, image_size=16, patch_size=8))
    line, _ = finished  # sweep and projections are there
    line = replace(line, witness=ClipWitness("other", other), classes=())
    run, _ = line.run(quiet_runner())
    keys = line.results(run)
    assert keys.output_scores is None
    figures = Figures(run, keys)
    assert figures.by == "other"
    assert np.isfinite(figures.values(0, "pursuit", "auprc")).any()
    assert explanation_report(line, run, 1).tables()
    monkeypatch.setattr("clipneuron.models.clip.model.load_clip", lambda *names: clip())
    with pytest.raises(ValueError, match="very model that is explained"):
        line_of(tmp_path, asked={"witness": "same"})


def test_swept_pictures_are_left_out_and_counted(tmp_path):
    pictures = held_out(tmp_path / "all")
    line = line_of(tmp_path, asked={"images": str(pictures)}, images=str(pictures), every=4)
    swept = {picture.image for picture in line.sweep.collection.pictures}
    assert line.held_out.swept == len(swept)
    assert not swept & {picture.image for picture in line.collection.pictures}
    assert "were swept and are left out" in line.describe()


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        ({"images": ""}, {}, "explanation.images"),
        ({"limit": 30}, {}, "at least 20"),
        ({"witness": "scenes"}, {}, "demo world only"),
        ({"witness": "tags"}, {}, "explanation.tag_column"),
        ({"label_column": "none"}, {}, "explanation.tag_column"),
        ({"tag_column": "words"}, {}, "contents.jsonl"),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(tmp_path, asked, options, message):
    with pytest.raises(ValueError, match=message):
        line_of(tmp_path, asked=asked, **options)


def test_the_swept_collection_is_refused(tmp_path):
    pictures = str(held_out(tmp_path / "all"))
    with pytest.raises(ValueError, match=r"swept.*flattered"):
        line_of(tmp_path, asked={"images": pictures}, images=pictures)
    (tmp_path / "other name").symlink_to(pictures)
    with pytest.raises(ValueError, match=r"swept.*flattered"):
        line_of(tmp_path, asked={"images": str(tmp_path / "other name")}, images=pictures)


def test_halves_do_not_depend_on_the_order():
    halves = [half_of(f"{number}.png") for number in range(1000)]
    assert 440 < halves.count("fit") < 560


@pytest.mark.parametrize(
    ("label", "true"),
    [("tabby", {"cat", "animal", "tabby"}), ("fox", {"fox"}), ("n01440764", {"tench", "animal"})],
)
def test_labels_and_their_hypernyms(tmp_path, label, true):
    file = tmp_path / "hypernyms.tsv"
    file.write_text("tabby\tcat, ani\u2028mal, animal\nn01440764\tanimal\n\n", encoding="utf-8")
    texts = ["cats", "animal", "tabby", "fox", "ox", "tench", "hot"]
    terms = terms_of(["tabby", "fox", "n01440764"], hypernyms_in(str(file)), "explanation")
    picture = replace(_picture("a"), label_name=label)
    found = witness.labels(terms, texts, [picture])
    assert {texts[place].removesuffix("s") for place in found[0]} == true


@pytest.mark.parametrize("text", ["cat animal", "\tanimal", "cat\t , "])
def test_hypernyms_of_another_form_are_refused_by_line(tmp_path, text):
    (tmp_path / "h.tsv").write_text(f"fox\tanimal\n{text}\n")
    with pytest.raises(ValueError, match="line 2"):
        hypernyms_in(str(tmp_path / "h.tsv"))
    with pytest.raises(ValueError, match="speaks of 'wolf'"):
        terms_of(["cat"], {"wolf": ("animal",)}, "concepts")


def _picture(image: str):
    from clipneuron.data.collections import Picture

    return Picture(0, image, None, None, image, None, None, None)


def test_tags_and_captions_of_parquet_files_and_of_contents(tmp_path):
    (tmp_path / "table").mkdir()
    data = _png()
    said = [["cat", "hot dog"], None, ["sea"]]
    captions = ["Two cats at night", "a hot dog", ""]
    table = pa.table({"image": [data] * 3, "tags": said, "text": captions, "number": [1, 2, 3]})
    pq.write_table(table, tmp_path / "table" / "0.parquet")
    found = open_collection(tmp_path / "table")
    texts = ["cat", "dog", "hot dog", "sea"]
    for column, wanted in (
        ("tags", [[0, 2], [], [3]]),
        ("text", [[0], [1, 2], []]),
    ):
        told = told_in(found, column, "`x.y`")
        assert witness.tags(told, texts, found.pictures) == wanted
    with pytest.raises(ValueError, match=r"no column 'tag'.*did you mean tags"):
        told_in(found, "tag", "`x.y`")
    with pytest.raises(ValueError, match="expected a caption"):
        told_in(found, "number", "`x.y`")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(data)
    line = {"image": "a.png", "tags": ["sea"], "text": "by the\u2028sea\u0085side"}
    lines = json.dumps(line, ensure_ascii=False)
    (tmp_path / "folder" / "contents.jsonl").write_text(lines, encoding="utf-8")
    folder = open_collection(tmp_path / "folder")
    assert witness.tags(told_in(folder, "tags", ""), texts, folder.pictures) == [[3]]
    with pytest.raises(ValueError, match="no line"):
        told_in(folder, "words", "`x.y`")


def _png() -> bytes:
    import io

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_scenes_say_what_is_in_them_and_other_seeds_are_other_scenes():
    pictures = [replace(_picture(f"{number:06d}.png")) for number in range(40)]
    texts = ["dog", "grass", "xyzzy"]
    told = witness.scenes(2, texts, pictures)
    assert told == witness.scenes(2, texts, pictures)
    assert told != witness.scenes(0, texts, pictures)
    assert not any(2 in own for own in told)
    assert any(0 in own for own in told)


def test_the_verb_prints_neurons_first_and_goes_on_from_commits(tmp_path, capsys):
    words = ["explain", "--recipe", "demo", "--engine", "in-process", "--store", str(tmp_path)]
    words += ["--limit", "24", "--top", "4", "--layers", "4", "--explanation-limit", "60"]
    (tmp_path / "classes.txt").write_text("dog\ncat\nfrog\n")
    words += ["--explanation-classes", str(tmp_path / "classes.txt")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.index("best explained neurons") < out.index("Describers") < out.index("Layers")
    assert "the scenes of the demo world" in out
    assert main(words) == 0
    assert "complete" in capsys.readouterr().out


def test_wide_tables_have_their_own_shape():
    table = tables.schema("projections", layers=[0, 2], neurons=3).empty_table()
    assert tables.conform("projections", table).num_columns == 10
