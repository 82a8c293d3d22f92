"""The line of work from directions to the matrix, on a tiny model with pictures and masks that are written to disk."""

import json
import re
from collections import Counter
from dataclasses import replace
from typing import get_args

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from clipneuron.config import kinds
from clipneuron.config.segmentation import Segmentation
from clipneuron.config.values import protocols
from clipneuron.config.values.protocols import Protocol
from clipneuron.data.masks.opening import KINDS
from clipneuron.lens.attribution.methods import METHODS as ATTRIBUTION
from clipneuron.models.clip.attribution import attribute
from clipneuron.readers.evidence import classifier_of
from clipneuron.readers.sweep import Planned
from clipneuron.segmentation import layers
from clipneuron.segmentation.figures import Figures
from clipneuron.segmentation.paper import SETTING, TABLE_4
from clipneuron.segmentation.report import segmentation_report, verdict
from clipneuron.segmentation.stages.segmentations import other_class
from tests.samples.segmented import METHODS, line_of
from tests.samples.world import clip, quiet_runner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    line = line_of(tmp_path_factory.mktemp("segmented"))
    run, _ = line.run(quiet_runner(max_failed_share=0.5))
    return line, run, line.results(run)


def rows_of(run, keys):
    return run.read(keys.segmentations, "segmentations")


def test_every_map_has_a_row_and_what_cannot_be_used_one_with_its_reason(finished):
    line, run, keys = finished
    rows = rows_of(run, keys)
    counts = Counter(rows["status"].to_pylist())
    # 005 is cut off, 009's mask too; 007 has none and 008 an empty one, so that there is nothing to look for.
    assert {status for status in counts if status != "ok"} == {"truncated"}
    assert counts["truncated"] == 2
    images = {picture.image for picture in line.collection.pictures}
    assert images == {f"{n:03d}.png" for n in range(12) if n not in (7, 8)}
    good = rows.filter(pc.equal(rows["status"], "ok"))
    pairs = {(row["image"], row["class"]) for row in good.to_pylist()}
    cats = {(image, "cat") for image in images - {"005.png", "009.png"}}
    assert pairs == cats | {("000.png", "dog"), ("003.png", "dog"), ("006.png", "dog")}
    assert good.num_rows == len(pairs) * len(METHODS) * len(protocols.DEFAULT)
    assert all(row["reason"] for row in rows.to_pylist() if row["status"] != "ok")
    (noted,) = set(good.filter(pc.equal(good["image"], "010.png"))["note"].to_pylist())
    assert noted.endswith("outside of what the model sees: dog")
    assert run.verify() == []
    assert any("without a mask" in note for note in line.evaluated.left_out)
    assert "10 pictures" in line.describe()


def test_every_stage_is_of_a_kind_that_the_command_line_knows(finished):
    line, run, _ = finished
    assert {stage.kind for stage in line.stages(Planned.of(run)).all} == {*kinds.SEGMENTATION}


def test_a_row_is_what_the_map_and_the_mask_come_to_by_hand(finished):
    """Of 001.png by GradCAM, given, aligned, 0.5, nearest: a map of four patches, counted pixel by pixel."""
    line, run, keys = finished
    picture = next(each for each in line.collection.pictures if each.image == "001.png")
    pixels = clip().preprocess.decode(line.collection.read(picture))
    text = torch.from_numpy(classifier_of(run, keys.classifier).matrix[:1])
    read = clip().preprocess.normalize(pixels[None])
    (patches,) = attribute(clip().visual, clip().weights, read, text, ["gradcam"])["gradcam"]
    shares = (patches - patches.min()) / (patches.max() - patches.min())
    front = np.kron(shares.reshape(2, 2).numpy() > 0.5, np.ones((8, 8), bool))
    # 20 x 24 becomes 16 x 19 and loses 1 and 2 rows: the mask's rows 4 to 19 and columns 0 to 4, by hand.
    whole = np.zeros((24, 20), bool)
    whole[4:20, :5] = True
    places = (
        [int((n + 0.5) * 24 / 19) for n in range(19)],
        [int((n + 0.5) * 20 / 16) for n in range(16)],
    )
    truth = whole[np.ix_(*places)][round((19 - 16) / 2) :][:16]
    rows = rows_of(run, keys)
    for name, value in (
        ("image", "001.png"),
        ("class", "cat"),
        ("method", "gradcam"),
        ("protocol", "given/aligned/0.5/nearest"),
    ):
        rows = rows.filter(pc.equal(rows[name], value))
    (row,) = rows.to_pylist()
    wanted = {
        "tp": (front & truth).sum(),
        "fp": (front & ~truth).sum(),
        "fn": (~front & truth).sum(),
        "tn": (~front & ~truth).sum(),
    }
    assert {name: row[name] for name in wanted} == wanted
    assert row["cut"] == 0.5


def test_unknown_pixels_count_for_nobody(finished):
    _, run, keys = finished
    rows = rows_of(run, keys)
    sizes = [
        sum(row[name] for name in ("tp", "fp", "fn", "tn"))
        for row in rows.to_pylist()
        if row["tp"] is not None
    ]
    images = [row["image"] for row in rows.to_pylist() if row["tp"] is not None]
    whole = {image for image, size in zip(images, sizes, strict=True) if size == 256}
    assert whole == {*images} - {"004.png"}
    assert max(size for image, size in zip(images, sizes, strict=True) if image == "004.png") < 256


def test_the_matrix_is_the_sum_of_its_rows(finished):
    _, run, keys = finished
    rows = rows_of(run, keys)
    rows = rows.filter(pc.equal(rows["status"], "ok")).to_pandas()
    figures = Figures(run, keys)

    def by_hand(method, protocol):
        own = rows[(rows["method"] == method) & (rows["protocol"] == protocol)]
        tp, fp, fn, tn = (own[name].sum() for name in ("tp", "fp", "fn", "tn"))
        ious = tp / (tp + fp + fn), tn / (tn + fp + fn)
        return np.array(
            [(tp + tn) / (tp + fp + fn + tn), np.mean(ious), own["ap"].mean(), own["f1"].mean()]
        )

    for protocol in keys.protocols:
        reference = by_hand("second-order", protocol)
        for method in keys.methods:
            cell, wanted = figures.cell(method, protocol), by_hand(method, protocol)
            np.testing.assert_allclose([e.value for e in cell.figures.values()], wanted, rtol=1e-6)
            over = [each.value for each in cell.over.values()]
            np.testing.assert_allclose(over, wanted - reference, atol=1e-6)
            assert all(each.low <= each.value <= each.high for each in cell.figures.values())
            control = Protocol.named(protocol).controlled.name
            if protocol.startswith("wrong") or control not in keys.protocols:
                assert not cell.control
            else:
                difference = wanted - by_hand(method, control)
                np.testing.assert_allclose(
                    [e.value for e in cell.control.values()], difference, atol=1e-6
                )


def test_methods_that_read_no_text_are_the_same_under_a_wrong_one(finished):
    _, run, keys = finished
    figures = Figures(run, keys)
    control = figures.cell("center", figures.main).control
    assert all(each.value == each.low == each.high == 0 for each in control.values())
    assert any(figures.cell("second-order", figures.main).control["map"])


def test_a_wrong_text_is_of_a_class_that_the_picture_does_not_show(finished):
    _, run, keys = finished
    rows = rows_of(run, keys)
    rows = rows.filter(pc.equal(rows["status"], "ok")).to_pylist()
    shown = {
        image: {row["class"] for row in rows if row["image"] == image}
        for image in {row["image"] for row in rows}
    }
    shown["010.png"].add("dog")
    for row in rows:
        if row["protocol"].startswith("wrong"):
            assert row["text"] not in shown[row["image"]]
        if row["protocol"].startswith("given"):
            assert row["text"] == row["class"]
    assert {row["text"] for row in rows if row["protocol"].startswith("predicted")} <= {
        "cat",
        "dog",
        "tree",
    }
    assert other_class("a", 0, frozenset({0, 1}), 2) == 1, (
        "of all classes shown, another one all the same"
    )


def test_the_predicted_class_is_the_nearest_text(finished):
    line, run, keys = finished
    classes = classifier_of(run, keys.classifier)
    rows = rows_of(run, keys)
    said = {
        row["image"]: row["text"]
        for row in rows.to_pylist()
        if (row["protocol"] or "").startswith("predicted")
    }
    pictures = [each for each in line.collection.pictures if each.image in said]
    read = np.stack([clip().preprocess.decode(line.collection.read(each)) for each in pictures])
    seen = clip().encode_images(clip().preprocess.normalize(read))
    nearest = (seen.numpy() @ classes.matrix.T).argmax(1)
    assert [said[each.image] for each in pictures] == [classes.names[label] for label in nearest]


def test_class_neurons_are_those_of_the_greatest_product(finished):
    _, run, keys = finished
    rows = run.read(keys.neurons, "class_neurons").to_pylist()
    known = run.read(keys.directions, "directions", filters=[("layer", "in", [0, 1])]).to_pylist()
    texts = classifier_of(run, keys.classifier)
    for label, name in enumerate(texts.names):
        products = {
            (row["layer"], row["neuron"]): abs(np.dot(row["direction"], texts.matrix[label]))
            for row in known
            if row["note"] is None
        }
        best = sorted(products, key=lambda place: -products[place])[:6]
        own = [row for row in rows if row["name"] == name and row["choice"] == "absolute"]
        assert {(row["layer"], row["neuron"]) for row in own} == {*best}
        assert {round(row["weight"], 6) for row in own} == {round(1 / 6, 6)}
    assert Counter(row["choice"] for row in rows) == {"absolute": 18, "signed": 18, "random": 18}


def test_the_report_names_protocols_and_keeps_table_4_apart(finished):
    line, run, keys = finished
    report = segmentation_report(line, run)
    page = report.markdown()
    for name in keys.protocols:
        assert name in page
    assert f"figures are of {SETTING}" in page
    assert "not computed" in page, "of Table 4's methods that this run has not"
    assert page.index("## Methods under given/aligned/0.5/bilinear") < page.index("Table 4")
    files = report.files()
    assert {"report.md", "matrix.json", "best.png", "worst.png", "disagreement.png"} == {*files}
    assert all(data[1:4] == b"PNG" for name, data in files.items() if name.endswith("png"))
    assert files == report.files()
    data = json.loads(files["matrix.json"])
    assert len(data["matrix"]) == len(METHODS) * len(keys.protocols)
    assert data["table 4"]["of"] == SETTING
    assert len(TABLE_4) == 8
    assert {*TABLE_4} <= {*ATTRIBUTION}
    for table in report.tables():
        assert table.row_count == len(METHODS)
    said = re.split("[,;:] ", verdict(report.figures))
    assert all(said.count(name) == 1 for name in ("gradcam", "lrp", "center"))


def test_what_is_done_is_not_done_again_and_other_methods_are_another_stage(finished):
    line, run, keys = finished
    _, reports = line.run(quiet_runner(max_failed_share=0.5))
    assert [report.done_now for report in reports] == [0] * len(reports)
    recipe = line.sweep.recipe
    asked = recipe.segmentation.model_copy(update={"methods": ("center",)})
    sweep = replace(line.sweep, recipe=recipe.model_copy(update={"segmentation": asked}))
    other = replace(line, sweep=sweep)
    found = other.results(run)
    assert found.segmentations != keys.segmentations
    assert found.classifier == keys.classifier
    other.run(quiet_runner(max_failed_share=0.5))
    assert segmentation_report(other, run).tables()
    assert verdict(Figures(run, found)) == ""


def test_pictures_are_read_in_any_batch_with_the_same_counts(finished):
    line, run, keys = finished
    stage = line.stages(Planned.of(run)).segmentations
    small = replace(stage, batch_size=1)
    (shard, *_) = stage.shards(run)
    worker = small.build(small.share(run))
    found = worker.process(small.loader(run).load(shard), lambda rows: None).tables["segmentations"]
    there = run.read(keys.segmentations, "segmentations", shards=[shard.name])
    for name in ("image", "class", "text", "method", "protocol", "status"):
        assert found[name].equals(there[name])
    for name in ("tp", "fp", "fn", "tn"):
        differences = np.abs(found[name].to_numpy() - there[name].to_numpy())
        assert np.nanmax(differences) <= 8, (
            "a pixel on the edge may fall to the other side by rounding"
        )


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        ({"masks": ""}, {}, "segmentation.masks"),
        ({"images": ""}, {}, "segmentation.images"),
        ({"images": "demo"}, {}, "both demo, or neither"),
        ({"classes": "imagenet"}, {}, "no text names a class of the masks"),
        ({"neurons_per_class": 1000}, {}, "cannot be chosen of 128"),
        ({"neuron_layers": (1, 2)}, {}, "layers 1, 2, of which the run has no 2"),
        ({}, {"layers": (0,)}, "layers 0, 1, of which the run has no 1"),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(tmp_path, asked, options, message):
    with pytest.raises(ValueError, match=message):
        line_of(tmp_path, asked=asked, **options)


def test_one_class_alone_has_no_control(tmp_path):
    (tmp_path / "one.txt").write_text("cat\n")
    asked = {"classes": str(tmp_path / "one.txt")}
    with pytest.raises(ValueError, match="one class alone, 'cat'"):
        line_of(tmp_path, asked=asked)
    line = line_of(tmp_path, asked={**asked, "protocols": ("given/aligned/0.5/bilinear",)})
    assert any("no text names their class" in note for note in line.evaluated.left_out)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("given", "is no protocol: expected text/alignment/threshold/upsampling"),
        (
            "givn/aligned/0.5/bilinear",
            "is no text: expected given, predicted, wrong; did you mean given",
        ),
        ("given/aligned/0.6/bilinear", "is no threshold"),
    ],
)
def test_a_misspelt_protocol_is_answered_by_its_part(name, message):
    with pytest.raises(ValueError, match=message):
        Protocol.named(name)


def test_every_kind_of_masks_can_be_asked_for():
    assert get_args(Segmentation.model_fields["mask_kind"].annotation) == ("", *KINDS)


def test_the_layers_rule_is_the_papers_for_its_model():
    assert layers.usual_layers(12) == (8, 9, 10)
    for depth in range(2, 40):
        found = layers.usual_layers(depth)
        assert found[-1] == depth - 2
        assert len(found) == min(-(-depth // 4), depth - 1)
