"""The exact masks of the demo world."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from clipneuron.data.masks.maps import BACKGROUND, MaskError
from clipneuron.data.masks.opening import narrowed
from clipneuron.data.opening import open_collection
from clipneuron.demo import THINGS, masks, read_collection, write_collection
from clipneuron.demo.scene_masks import VALUES, scene_masks
from tests.samples.masks import pictures


def test_things_and_their_pixels(tmp_path: Path) -> None:
    write_collection(tmp_path, 12, 3, biased=True)
    found = scene_masks(open_collection(tmp_path))
    listed = {(row["image"], row["class_name"]): row for row in found.pairs.to_pylist()}
    seen = 0
    for record in read_collection(tmp_path):
        own = pickle.loads(pickle.dumps(found.reader)).read(record.image)
        expected = np.full((64, 64), BACKGROUND)
        for placed, part in zip(record.scene.objects, masks(record.scene), strict=True):
            expected[part] = VALUES[placed.thing.name]
        np.testing.assert_array_equal(own.labels, expected)
        assert not own.unknown.any()
        for name, value in VALUES.items():
            area = int((expected == value).sum())
            row = listed.get((record.image, name))
            assert (row["area"], row["value"]) == (area, value) if area else row is None
            seen += bool(area)
    assert seen == len(listed) > 20
    assert {name for _, name in listed} <= {thing.name for thing in THINGS}


def test_the_digest_is_of_the_scenes(tmp_path: Path) -> None:
    write_collection(tmp_path / "a", 3, 3, biased=True)
    write_collection(tmp_path / "b", 3, 4, biased=True)
    found = scene_masks(open_collection(tmp_path / "a"))
    assert scene_masks(open_collection(tmp_path / "a")).digest == found.digest
    assert scene_masks(open_collection(tmp_path / "b")).digest != found.digest
    some = open_collection(tmp_path / "a" / "000001.png")
    assert {row["image"] for row in narrowed(found, some).listing.to_pylist()} == {"000001.png"}


def test_pictures_without_a_record(tmp_path: Path) -> None:
    write_collection(tmp_path, 2, 3, biased=True)
    (tmp_path / "000002.png").write_bytes((tmp_path / "000001.png").read_bytes())
    lines = (tmp_path / "contents.jsonl").read_text().splitlines()
    found = scene_masks(open_collection(tmp_path))
    assert [row["image"] for row in found.unusable.to_pylist()] == ["000002.png"]
    with pytest.raises(MaskError, match="no record of its scene"):
        found.read("000002.png")
    record = {**json.loads(lines[0]), "scene": None}
    del record["scene"]
    (tmp_path / "contents.jsonl").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="has no record of them: expected pictures that `demo`"):
        scene_masks(open_collection(tmp_path))
    with pytest.raises(ValueError, match="exact masks of the demo world are those of its scenes"):
        scene_masks(pictures(tmp_path / "others", "1.jpg"))
