"""Where in pictures is the class they are taken for: on the pages of the pictures that most neurons show."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clipneuron.atlas import addresses
from clipneuron.atlas.gather.pictures import maps_of
from clipneuron.atlas.pipeline import AtlasLine, AtlasStages
from clipneuron.lens.attribution.methods import METHODS
from clipneuron.lens.attribution.second_order import neuron_weights
from clipneuron.models.clip.attribution import attribute
from clipneuron.readers.arrow import tensor
from clipneuron.store.store import Run
from clipneuron.sweep.results import SweepResults
from tests.samples.atlas_world import CLASSES, atlas_of, attacked, classed, swept
from tests.samples.world import clip, quiet_runner

pytestmark = pytest.mark.slow

MOST = 2
COUNT = 4
"""Neurons of a class."""
LAYER = 1


def asking(line: AtlasLine, most: int) -> AtlasLine:
    """The same with maps of so many pictures."""
    recipe = line.sweep.recipe
    asked = {
        "atlas": recipe.atlas.model_copy(update={"class_maps": most}),
        "segmentation": recipe.segmentation.model_copy(update={"neurons_per_class": COUNT}),
    }
    return replace(line, sweep=replace(line.sweep, recipe=recipe.model_copy(update=asked)))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, AtlasLine, AtlasStages]:
    """A run with an attack of one pair, and the atlas with maps of two pictures of each kind."""
    folder: Path = tmp_path_factory.mktemp("class-maps")
    run, recipe = swept(folder, layers=(LAYER,))
    classed(run)
    attacked(run, run.results(SweepResults)[0])
    line = asking(atlas_of(run, recipe, folder), MOST)
    _, stages = line.bring(quiet_runner())
    return run, line, stages


def pages_of(run: Run, stages: AtlasStages) -> dict[str, str]:
    parts = [run.read(stage.name, "pages").to_pylist() for stage in stages.pages]
    return {row["path"]: row["content"].decode() for rows in parts for row in rows}


def test_they_are_of_the_pictures_that_most_neurons_show(world):
    run, _, stages = world
    rows = run.read(stages.sources.shown, "shown_pictures").to_pylist()
    seen = {(row["layer"], row["neuron"], row["index"]) for row in rows}
    counts = Counter(index for _, _, index in seen)
    wanted = sorted(counts, key=lambda index: (-counts[index], index))[:MOST]
    maps = run.read(stages.sources.class_maps, "class_maps").to_pylist()
    assert {row["key"] for row in maps} == {*map(str, wanted)}
    assert len(maps) == MOST * len(METHODS)


def test_they_are_those_of_the_methods_for_the_nearest_class(world):
    """Each method's map of one picture by `attribute` itself, from the picture to the page's numbers."""
    run, line, stages = world
    key = run.read(stages.sources.class_maps, "class_maps")["key"][0].as_py()
    plan = {row["index"]: row["image"] for row in run.read("plan", "plan").to_pylist()}
    picture = (Path(line.sweep.recipe.images) / plan[int(key)]).read_bytes()
    model = clip()
    read = model.preprocess.normalize(model.preprocess.decode(picture)[None], "cpu")
    texts = torch.eye(len(CLASSES), model.embed)
    with torch.no_grad():
        label = int((model.encode_images(read) @ texts.T).argmax())
    own = [("layer", "==", LAYER)]
    rows = run.read(line.sources.directions, "directions", filters=own).sort_by("neuron")
    products = {LAYER: texts @ tensor(rows["direction"]).T}
    seed = line.sweep.recipe.seed
    weights = {
        name: {
            layer: matrix[[label]]
            for layer, matrix in neuron_weights(products, COUNT, method.choice, seed).items()
        }
        for name, method in METHODS.items()
        if method.choice
    }
    others = texts.mean(0)[None]
    expected = attribute(
        model.visual,
        model.weights,
        read,
        texts[[label]],
        [*METHODS],
        neurons=weights,
        others=others,
    )
    seen, heats = maps_of(run, stages.sources.class_maps, [key])[key]
    assert seen == CLASSES[label]
    assert [title for title, _ in heats] == [method.title for method in METHODS.values()]
    for (title, found), name in zip(heats, METHODS, strict=True):
        values = expected[name][0].double().numpy()
        assert found.scale == pytest.approx(np.ptp(values), rel=1e-3, abs=1e-6), title
        if np.ptp(values) > 1e-6:
            shares = (np.frombuffer(found.values, np.uint8).astype(float) - 128) / 127
            least = (values - values.min()) / np.ptp(values)
            np.testing.assert_allclose(shares, least, atol=0.01, err_msg=title)


def test_pages_of_these_pictures_show_them(world):
    run, _, stages = world
    pages = pages_of(run, stages)
    keys = {*run.read(stages.sources.class_maps, "class_maps")["key"].to_pylist()}
    painted = {*run.read(stages.sources.painted_class_maps, "class_maps")["key"].to_pylist()}
    assert len(painted) == MOST, "the gallery has one more"
    with_maps = {path for path, text in pages.items() if "by each method" in text}
    gallery = {path for path in pages if path.startswith("picture/cat-dog")}
    assert with_maps == {*map(addresses.picture, keys | painted)} | gallery
    for path in map(addresses.picture, keys | painted):
        for method in METHODS.values():
            assert method.title.replace("&", "&amp;") in pages[path]


def test_a_number_of_0_leaves_them_out(world):
    run, line, _ = world
    stages = asking(line, 0).stages()
    assert [stage.kind for stage in stages.all if "class-maps" in stage.kind] == []
    assert (stages.sources.class_maps, stages.sources.painted_class_maps) == ("", "")
    assert maps_of(run, "", ["0"]) == {}


def test_a_gallery_shares_them_among_its_pairs(world):
    _, line, stages = world
    gallery = stages.painted[0].gallery
    pairs = (("cat", "dog"), ("cat", "tree"), ("dog", "tree"))
    several = replace(gallery, attack=gallery.attack.model_copy(update={"pairs": pairs}))
    shards = several.shards(line.run, 2)
    assert [(shard.name, shard.rows) for shard in shards] == [("cat-dog", 1), ("cat-tree", 0)]
    assert [shard.rows for shard in several.shards(line.run)] == [3, 0, 0]
