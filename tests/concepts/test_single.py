"""Single pictures on the command line: tables and a sheet from a finished sweep; what is said where there is none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from clipneuron.cli import main
from clipneuron.concepts import ready
from clipneuron.concepts.finder import Finder, Found
from clipneuron.store.store import Store
from tests.samples.world import clip, finished, write_pictures

pytestmark = pytest.mark.slow
LAYERS = ["--concept-layers", "0,1", "--count", "4"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store in which there is a finished sweep, and pictures."""
    folder = tmp_path_factory.mktemp("swept")
    finished(folder)
    write_pictures(folder / "mine", 6, seed=3)
    return folder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model that the sweep was made with, which is none that could be named."""
    monkeypatch.setattr(ready, "model_of", lambda recipe: clip())


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """The verb's status, output and errors for these words."""

    def said(*words: str | Path) -> tuple[int, str, str]:
        status = main(["concepts", *map(str, words)])
        out, err = capsys.readouterr()
        return status, out, err

    return said


@pytest.mark.usefixtures("tiny")
def test_pictures_get_a_table_each_and_one_sheet_and_a_bad_one_its_reason(
    swept: Path, say: Say, tmp_path: Path
) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    files = [swept / "mine/000.png", swept / "mine/005.png", tmp_path / "one.png"]
    sheet = tmp_path / "sheet.png"
    status, out, err = say(*files, "--store", swept / "store", "--to", sheet, *LAYERS)
    assert status == 1
    assert "005.png" in err
    assert "1 picture could not be used" in err
    assert "splice and textspan take means over swept pictures" in out
    assert "second-order-signed" in out
    assert "neurons activated" in out
    assert "one colour" in out
    assert Image.open(sheet).height > 400
    status, out, err = say(files[0], "--store", swept / "store", "--to", sheet, *LAYERS)
    assert (status, err) == (0, "")


@pytest.mark.usefixtures("tiny")
def test_a_picture_on_which_no_neuron_is_activated_has_no_concepts_of_neurons(
    swept: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Finder.of

    def of(self: Finder, pixels: torch.Tensor) -> Found:
        for layer in self.layers:
            layer.thresholds = torch.full_like(layer.thresholds, torch.inf)
        return real(self, pixels)

    monkeypatch.setattr(Finder, "of", of)
    sheet = tmp_path / "sheet.png"
    status, out, err = say(
        swept / "mine/000.png", "--store", swept / "store", "--to", sheet, *LAYERS
    )
    assert (status, err) == (0, "")
    assert "0 of 128 neurons activated" in out
    assert sheet.exists()


def test_what_is_missing_is_said_without_torch_or_with_the_command_that_makes_it(
    swept: Path, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, store = swept / "mine/000.png", swept / "store"
    monkeypatch.setattr(ready, "model_of", None)  # no model is asked for
    status, _, err = say(picture, "--store", tmp_path / "empty")
    assert status == 1
    assert "clipneuron run --recipe demo --store" in err
    for words, message in (
        ((swept / "nothing.png", "--store", store), "there is no file"),
        ((swept / "mine", "--store", store), "is a folder"),
        ((picture, "--store", store, "--recipe", "demo"), "no finished sweep of demo-"),
        ((picture, "--store", store, "--concepts-methods", "splice"), "no method is left"),
    ):
        status, _, err = say(*words)
        assert (status, message in err) == (1, True), err
    shutil.copytree(store, tmp_path / "cut")
    (run,) = Store(tmp_path / "cut").runs()
    marker = next((tmp_path / "cut" / run.name / "commits").glob("descriptions-*/*.json"))
    marker.unlink()
    status, _, err = say(picture, "--store", tmp_path / "cut")
    assert "is not finished (descriptions-" in err
    assert "clipneuron run --store" in err


@pytest.mark.usefixtures("tiny")
def test_another_layer_and_another_model_are_refused(
    swept: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (swept / "mine/000.png", "--store", swept / "store")
    status, _, err = say(*words, "--concept-layers", "9")
    assert status == 1
    assert "--concept-layers [9] are not among the layers of the run, [0, 1]" in err
    from clipneuron.models.clip.model import load_clip
    from tests.samples.towers import tiny_clip

    other = load_clip(tiny_clip(layers=2, width=16, embed=12, image_size=16, patch_size=8))
    monkeypatch.setattr(ready, "model_of", lambda recipe: other)
    status, _, err = say(*words)
    assert status == 1
    assert "is not the model that run" in err
