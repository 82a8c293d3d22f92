"""Pictures with their history inside, what the model says of them, and what another witness sees."""

from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.nn import functional

from clipneuron.attack.stages.pictures import PURPOSE
from clipneuron.attack.witness import OtherClip
from clipneuron.demo.painter import ScenePainter
from clipneuron.engine.stage import Named
from clipneuron.lens.first_order import bias_effects, mlp_effects, stem_effects, token_effects
from clipneuron.models.painting.painter import Order, Painted
from clipneuron.readers.lenses import trace_of
from clipneuron.readers.paintings import png_with
from clipneuron.tables import registry as tables
from clipneuron.tables.experiments import Experiment
from tests.samples.attack_world import (
    CHOSEN,
    EACH,
    METHODS,
    PAIRS,
    Moody,
    captions_stage,
    classifier_stage,
    pictures_stage,
    processed,
    run_with_words,
    screening_stage,
    verdicts_stage,
)
from tests.samples.world import clip as tiny
from tests.samples.world import quiet_runner

ONE = Experiment(PAIRS[0], METHODS[0], 0)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    run = run_with_words(tmp_path_factory.mktemp("painted"))
    quiet_runner().run([captions_stage(), pictures_stage(), classifier_stage()], run)
    return run


@pytest.fixture
def run(tmp_path):
    """A run with captions alone."""
    run = run_with_words(tmp_path)
    quiet_runner().run([captions_stage(), classifier_stage()], run)
    return run


def rows_of(output):
    [table] = output.tables.values()
    return table.to_pylist()


def pixels_of(image):
    return np.asarray(Image.open(BytesIO(image)))


def test_every_chosen_caption_is_painted_as_often_as_is_wanted(painted):
    chosen = painted.read("captions", "captions", filters=[("chosen", "==", True)]).to_pylist()
    rows = painted.read("pictures", "pictures").to_pylist()
    expected = {
        f"{row['pair']}/{row['method']}/{row['repeat']}/{row['number']}-{copy}": row["caption"]
        for row in chosen
        for copy in range(EACH)
    }
    assert {row["picture"]: row["caption"] for row in rows} == expected
    assert len(rows) == len(expected) == 2 * 2 * 2 * CHOSEN * EACH
    assert {row["status"] for row in rows} == {"ok"}
    assert len({row["seed"] for row in rows}) == len(rows)


def test_a_picture_can_be_painted_again_from_its_row_and_says_so_itself(painted):
    row = painted.read("pictures", "pictures", shards=[ONE.key]).to_pylist()[3]
    own = [*ONE.filters, ("number", "==", row["number"])]
    [caption] = painted.read("captions", "captions", filters=own).to_pylist()
    [again] = ScenePainter().paint([Order(row["caption"], row["seed"])])
    assert np.array_equal(pixels_of(row["image"]), again.pixels)
    said = Image.open(BytesIO(row["image"])).text
    assert said["Title"] == row["picture"]
    assert said["Description"] == row["caption"]
    assert said["Words"].split("; ") == caption["words"] != [""]
    assert (said["Seed"], said["Painter"]) == (str(row["seed"]), "demo-scenes-2")
    assert said["Captioner"] == caption["captioner"]
    assert said["Comment"] == PURPOSE


def test_what_could_not_be_painted_is_a_row_with_its_reason_and_the_others_stay_as_they_are(run):
    moods = {
        1: Painted(reason="the picture holds values that are not numbers"),
        2: Painted(reason="held back", unsafe=True, watermarked=False),
        4: Painted(reason="held back", unsafe=False, watermarked=True),
        5: Painted(),
    }
    found = processed(pictures_stage(painter=Moody(moods), group=4), run)
    good, rows = rows_of(processed(pictures_stage(painter=Moody()), run)), rows_of(found)
    statuses = ["ok", "failed", "unsafe", "ok", "watermarked", "failed"]
    assert [row["status"] for row in rows] == statuses
    assert [row["image"] is None for row in rows] == [status != "ok" for status in statuses]
    assert [bool(row["reason"]) for row in rows] == [status != "ok" for status in statuses]
    assert [row["unsafe"] for row in rows] == [False, None, True, False, False, None]
    assert [(item.image, item.status) for item in found.failures] == [
        (row["picture"], row["status"]) for row in rows if row["status"] != "ok"
    ]
    assert [rows[0], rows[3]] == [good[0], good[3]]


def test_the_seed_of_the_stage_changes_the_pictures_and_groups_do_not(run):
    seven, one = (rows_of(processed(pictures_stage(group=size), run)) for size in (7, 1))
    other = rows_of(processed(pictures_stage(seed=1), run))
    assert seven == one
    assert [row["picture"] for row in one] == [row["picture"] for row in other]
    assert not {row["seed"] for row in one} & {row["seed"] for row in other}


def test_captions_in_any_script_are_in_the_file(run, tmp_path):
    captions = run.read("captions", "captions", shards=["horse-automobile"])
    rows = [{**row, "caption": "a horse – 馬 🐎"} for row in captions.to_pylist()]
    changed = pa.Table.from_pylist(rows, schema=tables.schema("captions"))
    run.commit("others", "horse-automobile", {"captions": changed})
    row = rows_of(processed(pictures_stage(captions=Named("others"), painter=Moody()), run))[0]
    assert Image.open(BytesIO(row["image"])).text["Description"] == "a horse – 馬 🐎"


def test_a_painter_that_miscounts_is_refused(run):
    class Lazy(Moody):
        def paint(self, orders):
            return []

    with pytest.raises(ValueError, match="moody returned 0 pictures or reasons for 6 orders"):
        processed(pictures_stage(painter=Lazy()), run)
    with pytest.raises(ValueError, match="at least one caption"):
        pictures_stage(each=0)


def embeddings(rows):
    """The pictures as the model sees them, one by one."""
    prepare, images = tiny().preprocess, [row["image"] for row in rows]
    pixels = [prepare.normalize(prepare.decode(image))[None] for image in images]
    return torch.cat([tiny().encode_images(each) for each in pixels])


def test_verdicts_are_those_of_the_model_on_each_picture(painted):
    pictures = painted.read("pictures", "pictures", shards=[ONE.key]).to_pylist()
    rows = rows_of(processed(verdicts_stage(), painted))
    classes = painted.read("classifier", "classifier").sort_by("label").to_pylist()
    matrix = torch.tensor([row["embedding"] for row in classes])
    names = [row["name"] for row in classes]
    cosines = functional.cosine_similarity(embeddings(pictures)[:, None], matrix[None], dim=-1)
    margins = cosines[:, names.index("automobile")] - cosines[:, names.index("horse")]
    assert [row["picture"] for row in rows] == [row["picture"] for row in pictures]
    np.testing.assert_allclose([row["margin"] for row in rows], margins, atol=1e-6)
    assert [row["fooled"] for row in rows] == (margins > 0).tolist()
    assert [row["prediction"] for row in rows] == [names[at] for at in cosines.argmax(1)]


@pytest.mark.parametrize("split", ["equal", "centered"])
def test_the_heatmap_and_all_other_addends_are_the_margin(painted, split):
    pictures = painted.read("pictures", "pictures", shards=[ONE.key]).to_pylist()
    rows = rows_of(processed(verdicts_stage(split=split, batch_size=4), painted))
    classifier = painted.read("classifier", "classifier").to_pylist()
    classes = {row["name"]: row["embedding"] for row in classifier}
    direction = torch.tensor(classes["automobile"]) - torch.tensor(classes["horse"])
    pixels = np.stack([tiny().preprocess.decode(row["image"]) for row in pictures])
    trace, weights = trace_of(tiny(), pixels, [], first_order=True), tiny().weights
    other = mlp_effects(weights, trace, split=split).sum(1)
    other = other + stem_effects(weights, trace, split=split)
    other = other + bias_effects(weights, trace, split=split)
    for layer in range(tiny().layers):
        other = other + token_effects(weights, trace, layer, split=split)[:, :, 0].sum(1)
    heat = np.array([row["heatmap"] for row in rows])
    assert heat.shape == (CHOSEN * EACH, 4)
    margins = heat.sum(1) + (other @ direction).numpy()
    np.testing.assert_allclose(margins, [row["margin"] for row in rows], atol=1e-5)
    assert heat.std(1).min() > 0


def test_verdicts_do_not_depend_on_the_batch(painted):
    seven, one = (rows_of(processed(verdicts_stage(batch_size=size), painted)) for size in (7, 1))
    for row, other in zip(seven, one, strict=True):
        np.testing.assert_allclose(row["heatmap"], other["heatmap"], atol=1e-6)
        assert row["margin"] == pytest.approx(other["margin"], abs=1e-6)
        assert row["prediction"] == other["prediction"]


def commit_pictures(run, images):
    """Pictures of the first experiment: bytes, or None for one that could not be painted."""
    rows = [
        {
            "picture": ONE.picture(0, copy),
            **ONE.columns,
            "number": 0,
            "caption": "a horse",
            "seed": copy,
            "painter": "hand",
            "image": image,
            "status": "ok" if image is not None else "unsafe",
            "reason": None if image is not None else "held back",
        }
        for copy, image in enumerate(images)
    ]
    table = pa.Table.from_pylist(rows, schema=tables.schema("pictures"))
    run.commit("by-hand", ONE.key, {"pictures": table})


def png(value):
    file = BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "png")
    return file.getvalue()


def test_pictures_that_there_are_not_are_rows_without_a_verdict(run):
    commit_pictures(run, [png(10), None, png(90)[:50], png(200)])
    found = processed(verdicts_stage(pictures=Named("by-hand")), run)
    rows = rows_of(found)
    assert [row["status"] for row in rows] == ["ok", "unsafe", "truncated", "ok"]
    assert [row["margin"] is None for row in rows] == [False, True, True, False]
    assert rows[1]["reason"] == "held back"
    assert ONE.picture(0, 2) in rows[2]["reason"]
    assert rows[1]["heatmap"] is rows[1]["prediction"] is rows[1]["fooled"] is None
    assert [item.image for item in found.failures] == [ONE.picture(0, 1), ONE.picture(0, 2)]
    nothing = processed(screening_stage(pictures=Named("by-hand")), run)
    assert [row["shows_c1"] for row in rows_of(nothing)] == [True, None, True, True]


def test_a_pair_that_the_classifier_does_not_know_is_refused(painted):
    stage = verdicts_stage(pairs=(("stop sign", "horse"),))
    with pytest.raises(ValueError, match="classifier knows no stop sign"):
        stage.share(painted)


def test_the_truth_about_the_scenes_finds_the_first_class_and_not_the_second(painted):
    quiet_runner().run([screening_stage()], painted)
    rows = painted.read("screening", "screening").to_pylist()
    assert len(rows) == 2 * 2 * 2 * CHOSEN * EACH
    assert {(row["shows_c1"], row["shows_c2"]) for row in rows} == {(True, False)}
    assert {row["by"] for row in rows} == {"scene-truth"}


def test_another_clip_sees_its_likeliest_classes(run):
    classes, templates = ("horse", "cat", "dog", "ship"), ("a photo of a {}",)
    images = [png(value) for value in (0, 60, 120, 180, 250)]
    commit_pictures(run, [*images, None, b"no picture"])
    stage = screening_stage(
        witness=lambda: OtherClip.loaded(tiny, classes, templates, top=2), pictures=Named("by-hand")
    )
    rows = rows_of(processed(stage, run))
    matrix = tiny().classifier(classes, templates)
    best = (embeddings([{"image": image} for image in images]) @ matrix.T).topk(2).indices
    horse = [0 in places for places in best.tolist()]
    assert [row["shows_c1"] for row in rows] == [*horse, None, None]
    assert {row["shows_c2"] for row in rows} == {None}  # an automobile is not on its list
    assert {row["by"] for row in rows} == {tiny().name}
    two = OtherClip(tiny(), classes[:2], templates).shows(classes[:2], [], images)
    assert all(sum(row) == 1 for row in two), "one of two, or all would be seen in every picture"
    for top in (1, 2):
        small = OtherClip(tiny(), classes, templates, top=top, batch_size=2)
        said = small.shows(classes, [], images)
        assert [{at for at in range(4) if row[at]} for row in said] == [
            set(places) for places in best[:, :top].tolist()
        ]


@pytest.mark.parametrize(
    "text", ["[/dog] [bold]", "a\x1b[31mred", "ü 漢 \u202e", "=1+1|<script>", "x" * 1_100_000]
)
def test_the_history_in_a_picture_is_the_text_as_it_is(text: str) -> None:
    written = png_with(
        np.full((8, 8, 3), [[[9, 8, 7]]], np.uint8), {"caption": text, "pair": "a:b"}
    )
    if (
        len(text) < 1_000_000
    ):  # beyond that, Pillow reads no text, and we read the picture all the same
        read = Image.open(BytesIO(written)).text  # type: ignore[attr-defined]
        assert read == {"caption": text, "pair": "a:b"}
    assert tiny().preprocess.decode(written).shape[0] == 3
