"""`--grow` of the lines of work on top of a sweep, as a schedule gives them again and again: one mechanism for all."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch

from clipneuron.cli import concepts, explain, main, reproduce, segment
from clipneuron.store.store import Run, Store
from tests.cli.user import recipe
from tests.samples.explained import held_out
from tests.samples.segmented import write_masks
from tests.samples.world import write_labelled, write_pictures

pytestmark = pytest.mark.slow

LISTED = {
    "explain": "held-out",
    "reproduce": "evaluation",
    "segment": "segmentation-plan",
    "concepts": "concept-pictures",
}
"""The stage of each line that lists its own pictures."""


@pytest.fixture(scope="module")
def own(place: Path) -> dict[str, list[str]]:
    """What each verb measures on, with its pictures in the folder of its name."""
    held_out(place / "explain", each=14)
    write_labelled(place / "reproduce")
    write_pictures(place / "segment", 4, seed=40)
    write_masks(place / "masks")
    for number in range(4, 12):
        (place / "masks" / f"{number:03d}.png").unlink(missing_ok=True)
    (place / "names.csv").write_text("1,cat\n2,dog\n")
    write_pictures(place / "concepts", 4, seed=50)
    options = {
        "explain": ["--explanation-images"],
        "reproduce": [*("--sizes", "2", "--pools", place / "texts.txt", "--evaluation-images")],
        "segment": [
            *("--masks", place / "masks", "--mask-names", place / "names.csv"),
            *("--neurons-per-class", "4", "--segmentation-images"),
        ],
        "concepts": ["--concepts-images"],
    }
    return {verb: [*map(str, words), str(place / verb)] for verb, words in options.items()}


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(*_: object, **__: object) -> None:
        raise AssertionError("this should have needed no engine")

    for verb in (explain, reproduce, segment, concepts):
        monkeypatch.setattr(verb, "engine", engine)


def grow(place: Path, verb: str, words: list[str], *more: str) -> int:
    """Up to the list of the line's own pictures."""
    engine = ["--engine", "in-process", "--store", str(place / "store"), "--until", LISTED[verb]]
    return main([verb, *recipe(place), *words, *engine, "--grow", "--overlap", "forbid", *more])


def the_run(place: Path) -> Run:
    (found,) = Store(place / "store").runs()
    return found


def entries(run: Run) -> list[object]:
    return list(run.objects.entries(""))


@pytest.fixture
def without(place: Path) -> Iterator[Path]:
    """A swept picture is gone for the time of a test."""
    lost = place / "pictures" / "003.png"
    kept = lost.rename(place / "003.png")
    yield lost
    shutil.move(kept, lost)


@pytest.mark.parametrize("verb", LISTED)
def test_a_first_time_works_and_an_unchanged_one_says_so(verb, place, own, capsys, monkeypatch):
    assert grow(place, verb, own[verb]) == 0
    run, told = the_run(place), capsys.readouterr()
    assert "unchanged" not in told.out
    assert any(stage.startswith(f"{LISTED[verb]}-") for stage in run.stages())
    before = entries(run)
    monkeypatch.setattr(f"clipneuron.cli.{verb}.engine", None)
    assert grow(place, verb, own[verb]) == 0
    told = capsys.readouterr()
    assert told.out == (
        f"unchanged: {run.name} has all of these 12 pictures, and nothing was left to do\n"
    )
    assert entries(run) == before


@pytest.mark.parametrize("verb", LISTED)
def test_swept_pictures_that_are_gone_are_said(verb, place, own, without, capsys, no_work):
    before = entries(the_run(place))
    assert grow(place, verb, own[verb]) == 1
    told = capsys.readouterr().err
    assert f"{the_run(place).name} can't grow: 1 picture of the previous plan is gone" in told
    assert entries(the_run(place)) == before


@pytest.mark.parametrize("verb", LISTED)
def test_other_pictures_to_measure_on_are_said_and_listed_anew(verb, place, own, capsys):
    folder = next(path.parent for path in sorted((place / verb).rglob("000.png")))
    (folder / "001.png").unlink()
    for name in ("100.png", "101.png"):
        shutil.copy(folder / "000.png", folder / name)
    if verb == "segment":
        for name in ("100.png", "101.png"):
            shutil.copy(place / "masks" / "000.png", place / "masks" / name)
    run = the_run(place)
    lists = sum(stage.startswith(f"{LISTED[verb]}-") for stage in run.stages())
    assert grow(place, verb, own[verb]) == 0
    told = capsys.readouterr().err
    assert "2 pictures more, 1 picture gone; what is measured on them is measured anew" in told
    assert f"{own[verb][-2]}: " in told
    assert sum(stage.startswith(f"{LISTED[verb]}-") for stage in run.stages()) == lists + 1


def test_new_pictures_are_a_part_more_for_every_line(place, own, capsys):
    """The first line to look sweeps them; for the others they are there."""
    shutil.copy(place / "pictures" / "000.png", place / "pictures" / "100.png")
    run = the_run(place)
    for number, verb in enumerate(LISTED):
        assert grow(place, verb, own[verb]) == 0
        told = capsys.readouterr()
        said = f"1 new picture: a part more of {run.name}" in told.err
        assert said == (number == 0)
        assert ("has all of these 13 pictures" in told.out) == (number > 0), told
    assert list(run.committed("plan")) == ["part-0000", "part-0001"]


def test_a_line_goes_on_with_a_run_that_is_named(place, own, capsys):
    words = [*recipe(place), *own["concepts"], "--until", LISTED["concepts"]]
    engine = ["--engine", "in-process", "--store", str(place / "store")]
    assert main(["concepts", *words, *engine, "--extend", the_run(place).name]) == 0
    assert "complete" in capsys.readouterr().out
    assert len(Store(place / "store").runs()) == 1


def test_a_whole_line_is_unchanged_once_its_report_is_written(place, own, capsys, no_work):
    words = [*recipe(place), *own["concepts"], "--concept-layers", "0,1"]
    engine = ["--engine", "in-process", "--store", str(place / "store"), "--grow"]
    run = the_run(place)
    with pytest.MonkeyPatch.context() as patch:
        from clipneuron.cli import run as computing

        patch.setattr(concepts, "engine", computing.engine)
        assert main(["concepts", *words, *engine]) == 0
    capsys.readouterr()
    assert main(["concepts", *words, *engine]) == 0
    assert "unchanged" in capsys.readouterr().out
    (page,) = [key for key in run.objects.list("reports/concepts-") if key.endswith("report.md")]
    run.objects.delete(page)
    with pytest.raises(AssertionError, match="no engine"):
        main(["concepts", *words, *engine, "--debug"])


def test_other_weights_begin_another_run_for_every_line(place, own, capsys):
    """The first line to look begins it; the others find it."""
    first, other = the_run(place), place / "other"
    shutil.copytree(place / "model", other)
    path = other / "open_clip_model.safetensors"
    state = safetensors.torch.load_file(path)
    state["visual.proj"] += 1
    safetensors.torch.save_file(state, path)
    words = [str(other) if word == str(place / "model") else word for word in recipe(place)]
    engine = ["--engine", "in-process", "--store", str(place / "store"), "--until", "plan"]
    for number, verb in enumerate(LISTED):
        assert main([verb, *words, *own[verb], *engine, "--grow"]) == 0
        told = capsys.readouterr()
        said = f"other weights than {first.name}: a new run begins beside it" in told.err
        assert said == (number == 0)
    assert len(Store(place / "store").runs()) == 2


@pytest.mark.parametrize("verb", ["segment", "concepts"])
def test_single_pictures_grow_nothing(verb, place, capsys):
    picture = str(place / "pictures" / "000.png")
    assert main([verb, picture, "--store", str(place / "store"), "--grow"]) == 1
    assert "--grow and --extend go on with a run" in capsys.readouterr().err
