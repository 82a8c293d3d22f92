"""Maps of single pictures: drawn with a run's directions, and the same as those that the matrix judges."""

import numpy as np
import pytest
import torch
from PIL import Image

from clipneuron.cli import main
from clipneuron.engine.stage import Shard
from clipneuron.models.clip.model import load_clip
from clipneuron.readers.evidence import classifier_of
from clipneuron.readers.segmentation import weights_of
from clipneuron.readers.sweep import Planned
from clipneuron.segmentation.drawing import overlay
from clipneuron.segmentation.given import GivenPicture, check_given, read_pictures
from clipneuron.segmentation.maps import Known, Maps
from clipneuron.segmentation.single import drawn, write_drawings
from tests.samples.segmented import METHODS, line_of
from tests.samples.towers import tiny_clip
from tests.samples.world import clip, quiet_runner, write_pictures

pytestmark = pytest.mark.slow
DEMO = [
    "--engine",
    "in-process",
    "--limit",
    "4",
    "--top",
    "2",
    "--layers",
    "8",
    "--neuron-layers",
    "8",
]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A line whose run has directions, and nothing after them but what maps are made by."""
    line = line_of(tmp_path_factory.mktemp("swept"))
    run, _ = line.run(quiet_runner(), until="class-neurons")
    return line, run


def pictures_of(line, count=2):
    some = [picture for picture in line.collection.pictures if picture.image != "005.png"][:count]
    return [GivenPicture(picture.image, line.collection.read(picture)) for picture in some]


def test_maps_are_those_that_the_matrix_judges(swept):
    line, run = swept
    stages = line.stages(Planned.of(run))
    known = Known(classifier_of(run, stages.classifier.name), weights_of(run, stages.neurons.name))
    methods = tuple(name for name in METHODS if name not in ("textspan-centered", "random-neurons"))
    maps = Maps(clip(), known, methods, 8)
    batch = stages.segmentations.pictures.pictures.load(Shard("x", 2, line.collection.listing[:2]))
    wanted = maps.of(batch.pixels, torch.tensor([0, 1]), torch.tensor([1, 1]))
    found = drawn(run, line.sweep.recipe, pictures_of(line), ["dog"], clip())
    assert [row.heading for row in found.rows] == [picture.image for picture in batch.good]
    for method in methods:
        own = np.stack([row.maps[method].ravel() for row in found.rows])
        np.testing.assert_allclose(own, wanted[method], rtol=1e-4, atol=1e-6)
    assert found.notes == (
        "textspan-centered is left out: it takes the mean over several classes away: give more with --class",
    )


def test_every_picture_class_and_method_is_a_file_and_one_sheet_has_them_all(swept, tmp_path):
    line, run = swept
    asked = line.asked.model_copy(update={"methods": ("lrp", "textspan-centered")})
    recipe = line.sweep.recipe.model_copy(update={"segmentation": asked})
    found = drawn(run, recipe, pictures_of(line), ["dog", "a cat/dog"], clip())
    assert found.methods == ("lrp", "textspan-centered")
    places = write_drawings(found, tmp_path / "maps")
    assert len(places) == len({*places}) == 1 + 2 * 2 * 2
    sizes = {Image.open(place).size for place in places[1:]}
    assert sizes == {(384, 384)}
    assert Image.open(places[0]).width > 3 * 96
    assert (tmp_path / "maps" / "01-000-a_cat_dog-lrp.png").is_file()


def test_an_overlay_is_bright_where_the_map_is_greatest():
    pixels = np.full((3, 16, 16), 100, np.uint8)
    shown = np.asarray(overlay(pixels, np.array([[0.0, 1.0], [0.0, 0.0]], np.float32))).sum(-1)
    assert shown[:100, -100:].min() > shown[-100:, :100].max()
    flat = np.asarray(overlay(pixels, np.zeros((2, 2), np.float32)))
    assert (flat == flat[0, 0]).all()


def test_files_that_are_no_pictures_are_named_and_the_others_read(tmp_path):
    write_pictures(tmp_path, 6)
    (tmp_path / "text.png").write_text("no picture")
    names = [str(tmp_path / name) for name in ("000.png", "005.png", "text.png", "nowhere.png")]
    found, troubles = read_pictures(names)
    assert [picture.name for picture in found] == names[:1]
    assert [
        "truncated" in troubles[0],
        "not a picture" in troubles[1],
        "No such file" in troubles[2],
    ] == [True] * 3


def test_directions_are_of_one_model_and_of_its_layers(swept):
    line, run = swept
    other = load_clip(tiny_clip(layers=3, width=16, embed=12, image_size=16, patch_size=8, seed=1))
    with pytest.raises(ValueError, match="another model"):
        drawn(run, line.sweep.recipe, pictures_of(line), ["dog"], other)
    with pytest.raises(ValueError, match="has no name"):
        check_given(run, line.sweep.recipe, ["dog", " "])
    asked = line.asked.model_copy(update={"methods": ("textspan-centered",)})
    recipe = line.sweep.recipe.model_copy(update={"segmentation": asked})
    with pytest.raises(ValueError, match="there is one alone"):
        check_given(run, recipe, ["dog"])


def test_a_run_without_directions_says_which_command_makes_them(tmp_path):
    line = line_of(tmp_path)
    run, _ = line.run(quiet_runner(), until="calibrate")
    with pytest.raises(ValueError, match="clipneuron run --recipe tiny --until directions"):
        check_given(run, line.sweep.recipe, ["dog", "cat"])
    asked = line.asked.model_copy(update={"methods": ("legrad",)})
    check_given(run, line.sweep.recipe.model_copy(update={"segmentation": asked}), ["dog"])


def test_the_verb_judges_the_demo_and_draws_single_pictures(tmp_path, capsys):
    store = ["--recipe", "demo", "--store", str(tmp_path / "store")]
    words = ["segment", *store, *DEMO, "--segmentation-limit", "1", "--neurons-per-class", "5"]
    words += ["--method", "second-order", "center", "--protocols", "given/aligned/0.5/bilinear"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "Maps as segmentations under given/aligned/0.5/bilinear" in out
    assert "its figures say nothing about CLIP" in out
    picture = next((tmp_path / "store" / "pictures").rglob("*.png"))
    words = ["segment", str(picture), str(tmp_path / "no.png"), "--class", "dog", *store]
    words += ["--method", "second-order", "--to", str(tmp_path / "maps")]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "no.png: No such file" in shown.err
    assert (tmp_path / "maps" / "sheet.png").is_file()
    assert len([*(tmp_path / "maps").iterdir()]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "--class", "dog"], "there is no run in"),
        (["a.png"], "Name classes with --class"),
        (["--class", "dog"], "--class goes with single pictures"),
        (
            ["a.png", "--class", "dog", "--method", "grad"],
            "expected second-order, second-order-signed",
        ),
        (["--recipe", "demo", "--method", "grad-cam"], "did you mean gradcam?"),
        (["--recipe", "demo", "--protocols", "given/aligned/0.5"], "is no protocol"),
        (["--recipe", "demo", "--masks", "nowhere"], "both demo, or neither"),
    ],
)
def test_words_that_mean_nothing_are_answered(tmp_path, capsys, words, message):
    assert main(["segment", *words, "--store", str(tmp_path / "store")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
