"""Masks whose values stand for classes."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clipneuron.data.columns import Columns
from clipneuron.data.masks.maps import BACKGROUND, MaskError
from clipneuron.data.masks.names import COCO, VOC, names_in, value_names
from clipneuron.data.masks.opening import narrowed, open_masks
from clipneuron.data.masks.values import label_map, voc_palette
from clipneuron.data.opening import open_collection
from clipneuron.store.errors import PlaceError
from tests.samples.masks import LABELS, encoded, pictures, rows, write
from tests.samples.pictures import tar

NAMES = {"3": "cat", "5": "dog"}
SHARED = Path(__file__).parents[4] / "shared" / "data" / "segmentation"


def _both(tmp_path, files, *images):
    found = pictures(tmp_path / "images", *(images or ("1.jpg",)))
    return open_masks(write(tmp_path / "masks", files), "values", found, NAMES)


@pytest.mark.parametrize(
    "data",
    [
        encoded(LABELS),
        encoded(LABELS, palette=True),
        encoded(LABELS.astype(np.uint16)),
        encoded(LABELS, "TIFF"),
        encoded(np.repeat(LABELS[..., None], 3, -1)),
        encoded(voc_palette()[LABELS]),
    ],
    ids=["grey", "palette", "16 bits", "TIFF", "grey as RGB", "VOC's colours"],
)
def test_values_in_every_form(tmp_path: Path, data: bytes) -> None:
    masks = _both(tmp_path, {"1.png": data})
    assert rows(masks) == [("1.jpg", "cat", 3, 4, "ok"), ("1.jpg", "dog", 5, 3, "ok")]
    found = masks.read("1.jpg")
    np.testing.assert_array_equal(
        found.labels, np.where(LABELS, LABELS.astype(np.int32), BACKGROUND)
    )
    np.testing.assert_array_equal(found.of(5), LABELS == 5)
    assert not found.unknown.any()
    assert masks.class_names == ("cat", "dog")


def test_masks_go_by_path_then_by_name(tmp_path: Path) -> None:
    one, other = encoded(np.full((3, 4), 3, np.uint8)), encoded(np.full((3, 4), 5, np.uint8))
    files = {"a/1.png": one, "b/1_mask.png": other, "2-seg.png": other, "9.png": one}
    masks = _both(tmp_path, files, "a/1.jpg", "b/1.jpg", "c/2.jpg", "c/3.jpg")
    assert [row[:2] + row[-1:] for row in rows(masks)] == [
        ("a/1.jpg", "cat", "ok"),
        ("b/1.jpg", "dog", "ok"),
        ("c/2.jpg", "dog", "ok"),
        ("c/3.jpg", None, "no_mask"),
    ]
    assert masks.notes == ("1 mask without a picture, such as 9.png",)
    with pytest.raises(MaskError, match=r"c/3.jpg: there is no usable mask"):
        masks.read("c/3.jpg")


def test_a_name_that_two_pictures_share_is_no_match(tmp_path: Path) -> None:
    files = {"1.png": encoded(LABELS), "2.png": encoded(LABELS)}
    masks = _both(tmp_path, files, "a/1.jpg", "b/1.jpg", "2.jpg")
    assert [row[-1] for row in rows(masks)] == ["ok", "ok", "no_mask", "no_mask"]
    several = _both(tmp_path / "other", {**files, "1_mask.png": encoded(LABELS)}, "1.jpg", "2.jpg")
    assert [row[-1] for row in rows(several)] == ["ambiguous", "ok", "ok"]
    assert "1.png, 1_mask.png" in several.unusable["reason"][0].as_py()


def test_names_of_one_class_join_and_zero_can_be_a_class() -> None:
    names = value_names({"0": "sky", "3": "cat", "5": "cat", "7": "Background", "8": "void"})
    values = np.array([[0, 3, 5, 7, 8]], np.uint8)
    found = label_map(encoded(values), "x", names)
    assert found.labels.tolist() == [[0, 3, 3, BACKGROUND, BACKGROUND]]
    assert found.unknown.tolist() == [[False, False, False, False, True]]
    assert not found.of(7).any()


def test_255_is_unknown_unless_it_has_a_name(tmp_path: Path) -> None:
    values = np.array([[3, 255, 0]], np.uint8)
    found = label_map(encoded(values), "x", value_names(NAMES))
    assert found.unknown.tolist() == [[False, True, False]]
    named = label_map(encoded(values), "x", value_names({**NAMES, "255": "fox"}))
    assert named.of(255).tolist() == [[False, True, False]]


def test_values_without_a_name_are_background_and_said(tmp_path: Path) -> None:
    odd = np.where(LABELS == 5, 9, LABELS).astype(np.uint8)
    masks = _both(tmp_path, {"1.png": encoded(odd), "2.png": encoded(odd)}, "1.jpg", "2.jpg")
    assert rows(masks) == [("1.jpg", "cat", 3, 4, "ok"), ("2.jpg", "cat", 3, 4, "ok")]
    assert masks.notes == ("2 masks with values without a name and so background: value 9",)
    assert (masks.read("1.jpg").labels == BACKGROUND).sum() == 8


def test_what_cannot_be_used_is_a_row_with_a_reason(tmp_path: Path) -> None:
    good = encoded(LABELS)
    files = {
        "good.png": good,
        "empty.png": b"",
        "cut.png": good[:48],
        "text.png": b"no picture",
        "others.png": encoded(np.full((3, 4), 7, np.uint8)),
        "lossy.jpg": encoded(LABELS, "JPEG"),
        "colour.png": encoded(np.full((3, 4, 3), [9, 1, 2], np.uint8)),
        "float.tiff": encoded(np.full((3, 4), 0.5, np.float32), "TIFF"),
        "black.png": encoded(np.zeros((3, 4), np.uint8)),
    }
    names = [Path(name).with_suffix(".jpg").name for name in files]
    masks = _both(tmp_path, files, *names)
    found = {row[0]: row[-1] for row in rows(masks)}
    cut = found.pop("cut.jpg")
    assert cut in ("truncated", "corrupt")
    assert found == {
        "good.jpg": "ok",
        "empty.jpg": "empty",
        "text.jpg": "not_an_image",
        "others.jpg": "other_values",
        "lossy.jpg": "other_values",
        "colour.jpg": "other_values",
        "float.jpg": "other_values",
        "black.jpg": "no_object",
    }
    reasons = dict(zip(*(masks.unusable[c].to_pylist() for c in ("image", "reason")), strict=True))
    assert "value 7, none of which has a name" in reasons["others.jpg"]
    assert "a JPEG changes values" in reasons["lossy.jpg"]
    assert "(9, 1, 2)" in reasons["colour.jpg"]


def test_a_mask_that_breaks_later_has_a_reason(tmp_path: Path) -> None:
    files = {"1.png": encoded(LABELS), "2.png": encoded(LABELS)}
    masks = _both(tmp_path, files, "1.jpg", "2.jpg")
    (tmp_path / "masks/1.png").write_bytes(b"broken")
    with pytest.raises(MaskError, match=r"1.jpg: not a picture") as broken:
        masks.read("1.jpg")
    assert broken.value.status == "not_an_image"
    (tmp_path / "masks/1.png").unlink()
    with pytest.raises(MaskError, match="is gone"):
        masks.read("1.jpg")
    (tmp_path / "masks/2.png").unlink()
    with pytest.raises(PlaceError, match="the masks cannot be reached"):
        masks.read("2.jpg")


def test_pascal_voc_is_known_by_its_palette(tmp_path: Path) -> None:
    values = np.array([[0, 8, 255], [12, 12, 0]], np.uint8)
    found = pictures(tmp_path / "images", "2007_000129.jpg", size=(3, 2))
    write(tmp_path / "masks", {"2007_000129.png": encoded(values, palette=True)})
    masks = open_masks(tmp_path / "masks", "", found)
    assert masks.kind == "Pascal VOC"
    assert rows(masks) == [
        ("2007_000129.jpg", "cat", 8, 1, "ok"),
        ("2007_000129.jpg", "dog", 12, 2, "ok"),
    ]
    assert masks.read("2007_000129.jpg").unknown.sum() == 1
    assert len(VOC) == 21
    assert len(COCO) == 81


def test_masks_in_parquet_files_and_in_tars(tmp_path: Path) -> None:
    image = encoded(np.zeros((3, 4, 3), np.uint8))
    table = {"file": ["1.jpg", "2.jpg"], "image": [image] * 2, "mask": [encoded(LABELS), b""]}
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    found = open_collection(tmp_path / "p.parquet")
    masks = open_masks(tmp_path / "p.parquet", "values", found, NAMES)
    assert [row[-1] for row in rows(masks)] == ["ok", "ok", "empty"]
    nested = {
        **table,
        "mask": [{"bytes": encoded(LABELS), "path": None}] * 2,
    }  # as Hugging Face has it
    pq.write_table(pa.table(nested), tmp_path / "hf.parquet")
    hugging_face = open_masks(tmp_path / "hf.parquet", "values", found, NAMES)
    assert [row[-1] for row in rows(hugging_face)] == ["ok"] * 4
    write(tmp_path / "tars", {"m.tar": tar([("1.png", encoded(LABELS))])})
    packed = open_masks(tmp_path / "tars", "values", found, NAMES)
    assert [row[-1] for row in rows(packed)] == ["ok", "ok", "no_mask"]
    other = pickle.loads(pickle.dumps(packed.reader))
    np.testing.assert_array_equal(other.read("1.jpg").labels, masks.read("1.jpg").labels)


def test_which_column_or_member_has_the_masks(tmp_path: Path) -> None:
    image, mask = encoded(np.zeros((3, 4, 3), np.uint8)), encoded(LABELS)
    pq.write_table(pa.table({"image": [image], "parts": [mask]}), tmp_path / "p.parquet")
    samples = [("1.jpg", image), ("1.parts.png", mask)]
    write(tmp_path, {"t.tar": tar(samples)})
    for name, column, member in (("p.parquet", "parts", ""), ("t.tar", "parts.png", "jpg")):
        found = open_collection(tmp_path / name, columns=Columns(member=member))
        asked = Columns.named("segmentation", column, "", "", "")
        masks = open_masks(tmp_path / name, "values", found, NAMES, columns=asked)
        assert [row[-1] for row in rows(masks)] == ["ok", "ok"]
        with pytest.raises(ValueError, match=r"`segmentation\.mask_column`"):
            open_masks(tmp_path / name, "values", found, NAMES)
    files = write(tmp_path / "masks", {"1.png": mask})
    with pytest.raises(
        ValueError, match=r"`segmentation.mask_column` names a member .* leave it out"
    ):
        open_masks(files, "values", found, NAMES, columns=asked)


def test_the_digest_is_of_what_is_there(tmp_path: Path) -> None:
    files = {"1.png": encoded(LABELS), "2.png": encoded(LABELS)}
    masks = _both(tmp_path / "a", files, "1.jpg", "2.jpg")
    assert _both(tmp_path / "b", files, "1.jpg", "2.jpg").digest == masks.digest
    changed = {**files, "2.png": encoded(np.flip(LABELS, 1) // 5 * 5)}
    assert _both(tmp_path / "c", changed, "1.jpg", "2.jpg").digest != masks.digest
    some = narrowed(masks, pictures(tmp_path / "d", "2.jpg"))
    assert [row[0] for row in rows(some)] == ["2.jpg", "2.jpg"]
    assert some.digest != masks.digest


def test_nothing_that_fits_is_an_error_before_work(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no picture has a usable mask .*2 looked for.* go by the names"
    ):
        _both(tmp_path, {"8.png": encoded(LABELS), "9.png": encoded(LABELS)}, "1.jpg", "2.jpg")
    found = open_collection(tmp_path / "images")
    with pytest.raises(
        ValueError, match="Give the names of their classes, a file or one of voc, coco"
    ):
        open_masks(tmp_path / "masks", "values", found)
    with pytest.raises(
        ValueError, match="no masks of the kind 'vco': expected one of values, binary"
    ):
        open_masks(tmp_path / "masks", "vco", found)
    with pytest.raises(ValueError, match=r"there is nothing at .*nowhere: expected a folder, tar"):
        open_masks(tmp_path / "nowhere", "", found)


@pytest.mark.parametrize(
    "text",
    [
        '{"3": "cat", "5": "dog"}',
        '["background", "a", "b", "cat", "c", "dog"]',
        "3,cat\n5,dog\n",
        "value,name\n3,cat\n5,dog",
        "3\tcat\n\n5\tdog",
        '\ufeff3,"cat"\n5,dog',
        "3,cat\n5,dog\n7,a\u2028b",
    ],
)
def test_files_of_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text, encoding="utf-8")
    found = value_names(names_in(str(tmp_path / "names"), "`segmentation.names`"))
    assert {key: found.names[key] for key in (3, 5)} == {3: "cat", 5: "dog"}
    assert 0 in found.background


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"3": 7}', "'3' is called 7: expected a name"),
        ('{"3": ', "is not JSON"),
        ("3,cat\n3,dog", "'3' is called both 'cat' and 'dog'"),
        ("3,cat,black", "'3,cat,black' is no value and a name"),
        ("", "has no names"),
        ("cat,3", "'cat' is no value of a mask"),
        ("0,background\n255,void", "name no class"),
    ],
)
def test_files_of_names_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "names").write_text(text)
    with pytest.raises(ValueError, match=message):
        value_names(names_in(str(tmp_path / "names"), "`segmentation.names`"))
    with pytest.raises(
        ValueError, match=r"which `segmentation.names` names: .* or one of voc, coco"
    ):
        names_in(str(tmp_path / "missing"), "`segmentation.names`")


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="there is no folder of real masks beside the repository"
)
def test_real_masks() -> None:
    place = SHARED / "seg_coco128.parquet"
    found = open_collection(place)
    masks = open_masks(place, "values", found, names_in("coco", ""))
    stated = pq.read_table(place, columns=["file", "areas"]).to_pylist()
    assert not masks.unusable.num_rows
    listed = {(row["image"], row["class_name"]): row["area"] for row in masks.pairs.to_pylist()}
    for row in stated:
        for name, area in json.loads(row["areas"]).items():
            assert listed[row["file"], name] == area


def test_an_opacity_is_no_value() -> None:
    values = Image.fromarray(np.array([[0, 1], [2, 2]], np.uint8))
    names = value_names({"1": "cat", "2": "dog"})
    buffer = io.BytesIO()
    Image.merge("LA", (values, Image.new("L", values.size, 255))).save(buffer, "PNG")
    found = label_map(buffer.getvalue(), "mask", names)
    np.testing.assert_array_equal(
        found.labels, label_map(encoded(np.asarray(values)), "mask", names).labels
    )
