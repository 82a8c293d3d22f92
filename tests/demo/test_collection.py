"""Collections are folders of held-out pictures that can be rebuilt from their records."""

import numpy as np
import pytest
from PIL import Image

from clipneuron.demo import (
    HELD_OUT_SEEDS,
    THINGS,
    contents,
    mentions,
    read_collection,
    render,
    sample_scene,
    write_collection,
)
from clipneuron.demo.collection import scene_seed, write_things


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collection") / "new"
    write_collection(folder, 20, seed=4, biased=True)
    return folder


def test_one_picture_per_record(folder):
    assert sorted(p.name for p in folder.glob("*.png")) == [f"{i:06d}.png" for i in range(20)]
    assert [record.image for record in read_collection(folder)] == [
        f"{i:06d}.png" for i in range(20)
    ]


def test_a_record_rebuilds_its_picture(folder):
    for record in read_collection(folder):
        with Image.open(folder / record.image) as picture:
            np.testing.assert_array_equal(render(record.scene), np.asarray(picture))
        assert sample_scene(record.seed, biased=True) == record.scene


def test_a_record_says_what_is_true(folder):
    for record in read_collection(folder):
        assert set(record.contents) == contents(record.scene)
        assert record.background == record.scene.background
        assert mentions(record.caption, record.scene)
        assert record.label == "" or record.label in record.contents


def test_writing_twice_gives_equal_bytes(folder, tmp_path):
    write_collection(tmp_path, 20, seed=4, biased=True)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_collections_are_held_out_and_share_no_scene():
    seeds = [scene_seed(seed, index) for seed in (0, 1, 2) for index in (0, 1, 999_999)]
    assert len(set(seeds)) == len(seeds)
    assert all(seed in HELD_OUT_SEEDS for seed in seeds)


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, 1_000_000), (10_000_000, 0)])
def test_seeds_beyond_the_held_out_ones_are_refused(seed, index):
    with pytest.raises(ValueError, match="collection"):
        scene_seed(seed, index)


def test_things_come_in_turn_one_per_picture_under_their_names(tmp_path):
    write_things(tmp_path, 300, seed=4)
    records = read_collection(tmp_path)
    assert [record.label for record in records] == [
        THINGS[n % len(THINGS)].name for n in range(300)
    ]
    for record in records:
        assert set(record.contents) == {record.label, record.background}
    with Image.open(tmp_path / records[7].image) as picture:
        np.testing.assert_array_equal(render(records[7].scene), np.asarray(picture))
