"""The command line as a user meets it: what it prints, where it stops, and with which words."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from clipneuron.cli import main
from tests.cli.user import complete, recipe, run
from tests.samples.world import write_pictures

pytestmark = pytest.mark.slow


def test_a_run_ends_with_its_tables_and_a_second_one_does_nothing(place, capsys):
    assert run(place) == 0
    first = capsys.readouterr()
    assert "Most selective neurons" in first.out
    assert "not usable, truncated: 005.png" in first.out
    assert "PC 1 explains" in first.out
    sheet = Path(first.out.split("contact sheet: ")[1].splitlines()[0])
    assert Image.open(sheet).size[1] > 300
    findings = json.loads(sheet.with_name("findings.json").read_text())
    assert [row["layer"] for row in findings["layers"]] == [0, 1]
    assert run(place) == 0
    assert capsys.readouterr().out.count("complete") == 7
    assert run(place, "--grow") == 0
    assert capsys.readouterr().out.startswith("unchanged: run-")
    sheet.with_name("findings.json").unlink()  # as if the driver had died before the report
    assert run(place, "--grow") == 0
    assert "unchanged" not in capsys.readouterr().out
    assert sheet.with_name("findings.json").exists()


def test_another_pool_describes_the_same_sweep(place, capsys):
    complete(place, "pools")
    (place / "more.txt").write_text("red\ngreen\nblue\n\nred\nyellow\n")
    capsys.readouterr()
    assert run(place, "--pool", str(place / "more.txt"), store="pools") == 0
    captured = capsys.readouterr()
    assert captured.out.count("complete") == 4
    assert "1 empty" in captured.err
    assert "1 duplicate" in captured.err
    assert len([path for path in (place / "pools").iterdir() if path.name.startswith("run-")]) == 1


def test_a_store_among_the_pictures_is_no_part_of_them(place, capsys):
    write_pictures(place / "inside")
    for _ in range(2):
        assert run(place, "--images", str(place / "inside"), store="inside/runs") == 0
    captured = capsys.readouterr()
    assert captured.out.count("complete") == 7
    assert captured.err.count("pictures  12, no classes") == 2
    assert "of a run of ours" in captured.err
    assert len(list((place / "inside" / "runs").glob("run-*"))) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--recipe", "vit_b32"], "expected demo, vit_b_32, vit_l_14"),
        (["--images", "no/such/folder"], "there is nothing at"),
        (["--layers", "7"], "layers 0 to 2"),
        (["--layers", "2"], "last layer"),
        (["--store", "s3://bucket/runs"], "s3"),
        (["--recipe", "no such.json"], "no such.json"),
        (["--atoms", "0"], "greater than or equal to 1"),
        (["--model", "ViT-B-23"], "ViT-B-32"),
        (["--model", "RN50"], "RN50|ResNet"),
        (["--pool", "nowhere.txt"], "nowhere.txt"),
        (["--device", "gpu"], "expected auto, cpu"),
        (["--device", "cuda:99"], "use --device auto or cpu"),
        (["--limit", "1"], "at least 2 pictures"),
        (
            ["--store", "/proc/nowhere", "--recipe", "demo", "--images", "demo"],
            "can't write /proc/nowhere",
        ),
    ],
)
def test_a_wrong_word_is_one_clear_sentence(place, capsys, words, says):
    assert run(place, *words, store="wrong") == 1
    error = capsys.readouterr().err
    assert error.startswith("clipneuron: ")
    assert "Traceback" not in error
    assert any(part in error for part in says.split("|")), error
    assert not list((place / "wrong").glob("*/data/calibrate*"))


@pytest.mark.parametrize(
    "words",
    [["--layers", "1-0"], ["--layers", "0-"], ["--show", "0"], ["--max-failed-share", "10"]],
)
def test_an_argument_that_means_nothing_is_refused_at_once(place, capsys, words):
    with pytest.raises(SystemExit, match="2"):
        run(place, *words)
    assert words[1] in capsys.readouterr().err


@pytest.mark.slow
def test_the_demos_pictures_are_rendered_once(tmp_path, capsys):
    words = ["run", "--recipe", "demo", "--limit", "24", "--top", "6", "--layers", "4"]
    words += ["--engine", "in-process", "--store"]
    assert main([*words, str(tmp_path)]) == 0
    assert "Most selective neurons" in capsys.readouterr().out
    before = modified(tmp_path)
    assert main([*words, f"file://{tmp_path}"]) == 0
    assert "descriptions" in capsys.readouterr().out
    after = modified(tmp_path)
    assert {path.name for path in after if before.get(path) != after[path]} == {
        "contact-sheet.png",
        "findings.json",
        "lease.json",  # who was at work, which is said anew
    }


def modified(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_misspelt_field_of_a_recipe_file_is_named(place, capsys):
    recipe = place / "mine.json"
    recipe.write_text(json.dumps({"layer": [1]}))
    assert run(place, "--recipe", str(recipe)) == 1
    assert "layer: Extra inputs are not permitted" in capsys.readouterr().err


def test_too_many_unusable_pictures_are_an_error_with_a_way_out(place, capsys):
    pictures = write_pictures(place / "broken", 6)
    for number in range(3):
        (pictures / f"{number:03d}.png").write_bytes(b"")
    assert run(place, "--images", str(pictures), store="broken-store") == 1
    assert "--max-failed-share" in capsys.readouterr().err
    assert (
        run(place, "--images", str(pictures), "--max-failed-share", "0.7", store="broken-store")
        == 0
    )


def test_a_damaged_table_is_named_with_what_to_do(place, capsys):
    complete(place, "damaged")
    (table,) = (place / "damaged").glob("*/data/directions/layer-00*/*.parquet")
    data = bytearray(table.read_bytes())
    for at in range(64, len(data) // 2, 64):  # somewhere in every column, of which not all are read
        data[at] ^= 0xFF
    table.write_bytes(data)
    capsys.readouterr()
    assert run(place, store="damaged") == 1
    error = capsys.readouterr().err
    assert table.name in error
    assert "Traceback" not in error


def test_debug_shows_the_traceback(place):
    with pytest.raises(ValueError, match="there is nothing at"):
        run(place, "--images", "no/such/folder", "--debug")


@pytest.mark.process
def test_the_jobs_are_modules_that_run(tmp_path):
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "jobs.sweep", "--help"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "--store" in result.stdout


@pytest.mark.parametrize("verb", ["run", "plan", "reproduce", "attack"])
def test_a_model_that_does_not_exist_leaves_no_folder_behind(place, capsys, verb):
    there = place / f"kept-{verb}"
    there.mkdir()
    engine = [] if verb == "plan" else ["--engine", "in-process"]
    more = ["--evaluation-images", "demo"] if verb == "reproduce" else []
    for store in (place / f"new-{verb}" / "deeper", there):
        words = [*recipe(place), "--model", "ViT-B-23", "--store", str(store), *engine, *more]
        assert main([verb, *words]) == 1
        assert "ViT-B-32" in capsys.readouterr().err
    assert not (place / f"new-{verb}").exists()
    assert list(there.iterdir()) == []
