"""What destroys a picture's content is written beside its numbers, foretold by the plan's sample and said last."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from clipneuron.store.store import Run
from clipneuron.sweep.forecast import sample_of
from clipneuron.sweep.notes import many_large, picture_notes
from clipneuron.tables import registry
from tests.samples.tables import new_run, norms
from tests.samples.world import quiet_runner, sweep_of, write_pictures

DEEP = (np.arange(480).reshape(24, 20) * 2).astype(np.uint16)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight good pictures, one broken, one of 16 bits, one of NaN and one of one colour."""
    folder = tmp_path_factory.mktemp("odd")
    pictures = write_pictures(folder / "pictures", 9)
    Image.fromarray(DEEP).save(pictures / "16-bit.tif")
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(pictures / "nan.tif")
    Image.new("RGB", (20, 20), "red").save(pictures / "red.png")
    return folder


@pytest.fixture(scope="module")
def run(odd: Path) -> Run:
    return sweep_of(odd, batch_size=8).run(quiet_runner(max_failed_share=0.5))[0]


def rows(run: Run) -> dict[str, dict[str, object]]:
    found = run.read("effects", "norms", columns=["image", "status", "reason", "note"]).to_pylist()
    return {row["image"]: row for row in found}


def test_a_note_stands_in_the_table_beside_the_status(run: Run) -> None:
    found = rows(run)
    assert {image for image, row in found.items() if row["note"]} == {"16-bit.tif", "red.png"}
    assert found["16-bit.tif"]["status"] == "ok"
    assert str(found["16-bit.tif"]["note"]).startswith("clipped: 16-bit values 0 to 958; ")
    assert found["red.png"]["note"] == "one colour: every pixel is (255, 0, 0)"


def test_a_picture_of_nan_is_a_row_with_its_reason_before_any_pass(run: Run) -> None:
    assert rows(run)["nan.tif"]["status"] == "not_finite"
    failures = [each for commit in run.committed("calibrate").values() for each in commit.failures]
    assert {each.image: each.status for each in failures}["nan.tif"] == "not_finite"
    values = run.read("effects", "norms").filter(pa.compute.field("status") == "ok")
    assert np.isfinite(values["layer_0"].combine_chunks().flatten().to_numpy()).all()


def test_the_end_of_a_run_counts_notes_by_kind(run: Run) -> None:
    clipped, one_colour = picture_notes(run)
    assert clipped.startswith("pictures that lost values beyond 0 to 255, as in open_clip")
    assert ": 1, such as 16-bit.tif (clipped: 16-bit values" in clipped
    assert one_colour.startswith(
        "pictures of one colour, without any content: 1, such as red.png ("
    )


def test_the_sample_of_a_plan_counts_them_too(odd: Path) -> None:
    sample = sample_of(sweep_of(odd, "sampled"), 12)
    assert any("16-bit.tif (clipped" in note for note in sample.notes)


def test_refusing_makes_another_run_with_another_row(odd: Path, run: Run) -> None:
    sweep = sweep_of(odd, high_depth="refuse", batch_size=8)
    other, _ = sweep.run(quiet_runner(max_failed_share=0.5), until="calibrate")
    assert other.name != run.name
    failures = [
        each for commit in other.committed("calibrate").values() for each in commit.failures
    ]
    assert {each.image: each.status for each in failures}["16-bit.tif"] == "high_depth"
    assert sweep_of(odd, high_depth="clip").open().name == run.name


def test_shards_from_before_there_were_notes_are_read_with_those_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path)
    with monkeypatch.context() as then:
        then.setattr(registry, "conform", lambda name, table: table)
        run.commit("effects", "0", {"norms": norms(["a", "b"]).drop_columns(["note"])})
    assert picture_notes(run) == []
    later = norms(["c"]).set_column(5, "note", pa.array(["one colour: every pixel is (0, 0, 0)"]))
    run.commit("effects", "1", {"norms": later})
    assert run.read("effects", "norms")["note"].null_count == 2
    assert len(picture_notes(run)) == 1


@pytest.mark.parametrize(
    ("top", "pictures", "said"),
    [
        (100, 5000, None),
        (10, 100, None),
        (11, 100, r"top 11 of 100 pictures: 11% of them count as significant \(the paper: 2 %\)"),
        (100, 512, "top 100 of 512 pictures: 20% "),
        (100, 100, "top 100 of 100 pictures: all of them count as significant"),
        (2, 1, "top 2 of 1 picture: all"),
    ],
)
def test_a_top_that_is_not_few_of_the_pictures_is_said(
    top: int, pictures: int, said: str | None
) -> None:
    note = many_large(top, pictures)
    assert re.match(said, note) if said else not note
