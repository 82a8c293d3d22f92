"""ImageNet-Segmentation's file; the tests write a small one of its structure, since the file itself is 900 MB."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipneuron.data.masks.maps import BACKGROUND, MaskError
from clipneuron.data.masks.opening import kind_of, narrowed, open_masks, open_with_pictures
from clipneuron.models.clip.synsets import imagenet_synsets, synset_names
from clipneuron.store.errors import PlaceError, ReadError
from tests.samples.gtsegs import Row, write
from tests.samples.masks import pictures, rows

DICE = np.random.default_rng(0)
TENCH, KOALA = "n01440764", "n01882714"
DOG = "n02084071"
"""The synset of dogs, which is none of the 1,000 classes."""


def _row(name: str, synset: str, masks: int = 1, height: int = 5, width: int = 7) -> Row:
    image = DICE.integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = [DICE.integers(0, 2, (height, width), dtype=np.uint8) for _ in range(masks)]
    return Row(name, synset, image, found)


ROWS = [_row("n01440764_18", TENCH), _row("n02084071_3", DOG, masks=2), _row("x", "n00000000")]


def test_pictures_masks_and_names(tmp_path: Path) -> None:
    found, masks = open_with_pictures(write(tmp_path / "gtsegs_ijcv.mat", ROWS))
    assert rows(masks) == [
        ("n01440764_18", "tench", 1, None, "ok"),
        ("n02084071_3", "dog", 1, None, "ok"),
        ("x", None, None, None, "no_class"),
    ]
    assert [picture.label_name for picture in found.pictures] == ["tench", "dog", None]
    assert masks.notes == ("1 picture has more than one mask, of which the first is taken",)
    for row, data in zip(ROWS, found.read_many(found.pictures), strict=True):
        assert isinstance(data, bytes)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), row.image)
        read = masks.read(row.name)
        np.testing.assert_array_equal(read.labels, np.where(row.masks[0] == 1, 1, BACKGROUND))
        assert read.size == (5, 7)


def test_names_of_one_s_own_come_first(tmp_path: Path) -> None:
    place = write(tmp_path / "g.mat", ROWS)
    _, masks = open_with_pictures(place, {TENCH: "fish", "n00000000": "thing"})
    assert masks.class_names == ("fish", "dog", "thing")


def test_all_imagenet_s_synsets_have_names() -> None:
    assert {*imagenet_synsets()} <= synset_names().keys()
    assert synset_names()[KOALA] == "koala"
    assert len(synset_names()) > 21_000


def test_it_travels_and_can_be_narrowed(tmp_path: Path) -> None:
    found, masks = open_with_pictures(write(tmp_path / "g.mat", ROWS))
    reader, read = pickle.loads(pickle.dumps((found.reader, masks.reader)))
    assert next(reader.read_many(found.pictures[1:2])) == found.read(found.pictures[1])
    np.testing.assert_array_equal(read.read("x").labels, masks.read("x").labels)
    some = narrowed(masks, pictures(tmp_path / "other", "n.png"))
    assert not some.listing.num_rows
    assert kind_of("s3://bucket/gtsegs_ijcv.mat") == "gtsegs"
    with pytest.raises(ValueError, match="brings its own pictures"):
        open_masks(tmp_path / "g.mat", "", found)


def test_names_that_are_not_distinct_get_their_row(tmp_path: Path) -> None:
    twice = [ROWS[0], ROWS[0], Row("", DOG, *ROWS[1][2:])]
    found, _ = open_with_pictures(write(tmp_path / "g.mat", twice))
    ids = [picture.image for picture in found.pictures]
    assert ids == ["n01440764_18#0", "n01440764_18#1", "#2"]


def test_rows_that_cannot_be_used_leave_the_others(tmp_path: Path) -> None:
    odd = [
        ROWS[0],
        Row("none", TENCH, ROWS[0].image, []),
        Row("two", TENCH, ROWS[0].image, [np.full((5, 7), 2, np.uint8)]),
        Row("deep", TENCH, ROWS[0].image.astype(np.float64), ROWS[0].masks),
        Row("grey", TENCH, ROWS[0].image[..., 0], ROWS[0].masks),
    ]
    found, masks = open_with_pictures(write(tmp_path / "g.mat", odd))
    assert [row[-1] for row in rows(masks)] == ["ok", "no_mask", "ok", "ok", "ok"]
    read = list(found.read_many(found.pictures))
    assert [isinstance(data, bytes) for data in read] == [True, True, True, False, True]
    assert isinstance(read[3], ReadError)
    assert "float64" in read[3].reason
    with pytest.raises(MaskError, match="other values than 0 and 1"):
        masks.read("two")
    with pytest.raises(MaskError, match=r"none \(row 1 of g.mat\)"):
        masks.read("none")
    with pytest.raises(MaskError, match="there is no usable mask"):
        masks.read("nobody")


def test_other_files_are_an_error_before_work(tmp_path: Path) -> None:
    place = write(tmp_path / "g.mat", ROWS)
    whole = place.read_bytes()
    for data in (b"MATLAB 5.0 MAT-file", whole[: len(whole) // 2], b""):
        place.write_bytes(data)
        with pytest.raises(
            ValueError, match=r"g.mat is not ImageNet-Segmentation's .*, or is cut off"
        ):
            open_with_pictures(place)
    write(place, ROWS, columns=("img", "gt"))
    with pytest.raises(ValueError, match=r"columns of references value/img, value/gt, value/id"):
        open_with_pictures(place)
    with pytest.raises(ValueError, match="there is nothing at"):
        open_with_pictures(tmp_path / "none.mat")


def test_a_file_that_is_gone_since_is_trouble_of_the_place(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    place = write(tmp_path / "one" / "g.mat", ROWS)
    found, masks = open_with_pictures(place)
    place.unlink()
    with pytest.raises(PlaceError, match="the masks cannot be reached"):
        masks.read("x")
    assert next(found.read_many(found.pictures[:1])).status == "unreachable"
    (tmp_path / "one" / "beside").write_text("something")
    with pytest.raises(MaskError, match="is gone"):
        masks.read("x")
