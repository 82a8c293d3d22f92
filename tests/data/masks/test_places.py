"""Masks on a local disk and on S3."""

import unicodedata
from pathlib import Path

from clipneuron.data.masks.matching import matched
from clipneuron.data.masks.opening import check_masks, open_masks, open_with_pictures
from clipneuron.data.opening import open_collection
from tests.data.masks.test_gtsegs import ROWS
from tests.samples import gtsegs
from tests.samples.masks import LABELS, annotations, encoded, rows
from tests.samples.pictures import Place, fill

SQUARE = {"category_id": 3, "segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]]}


def test_masks_of_every_kind(folder: Place, tmp_path: Path) -> None:
    fill(folder, "images/1.png", "images/2.png")
    folder.put("masks/1.png", encoded(LABELS))
    folder.put("instances.json", annotations([SQUARE], ["2.png"]))
    folder.put("gtsegs_ijcv.mat", gtsegs.write(tmp_path / "g.mat", ROWS).read_bytes())
    found = open_collection(f"{folder.url}/images")
    for name in ("masks", "instances.json", "gtsegs_ijcv.mat"):
        check_masks(f"{folder.url}/{name}")
    values = open_masks(f"{folder.url}/masks", "values", found, {"3": "cat", "5": "dog"})
    assert [row[-1] for row in rows(values)] == ["ok", "ok", "no_mask"]
    assert values.read("1.png").of(3).sum() == 4
    coco = open_masks(f"{folder.url}/instances.json", "", found)
    assert [row[-1] for row in rows(coco)] == ["no_mask", "ok"]
    pictures, masks = open_with_pictures(f"{folder.url}/gtsegs_ijcv.mat")
    assert len(pictures) == len(ROWS)
    assert masks.read(ROWS[0].name).of(1).sum() == (ROWS[0].masks[0] == 1).sum()


def test_a_picture_that_is_called_like_a_mask_has_the_mask_of_its_own_name() -> None:
    pictures, masks = (
        [f"{name}.{end}" for name in ("a", "a_mask", "street-label")] for end in ("jpg", "png")
    )
    assert matched(pictures, masks).of == {
        picture: [mask] for picture, mask in zip(pictures, masks, strict=True)
    }
    assert matched(["x/a.jpg", "b.jpg"], ["a_mask.png", "b.png"]).of["x/a.jpg"] == ["a_mask.png"]


def test_accents_may_be_written_apart() -> None:
    apart, together = unicodedata.normalize("NFD", "café"), unicodedata.normalize("NFC", "café")
    pictures = [f"{apart}.jpg", "b.jpg"]
    assert matched(pictures, [f"{together}.png", "b.png"]).lonely == []
