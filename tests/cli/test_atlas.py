"""`clipneuron atlas` as one types it: what means nothing is refused before anything is computed."""

from pathlib import Path

import pytest

from clipneuron.atlas.pipeline import AtlasLine
from clipneuron.cli import build_parser, main
from clipneuron.cli.operations.submit import _order
from clipneuron.cli.options.flags import recipe_of
from clipneuron.store.store import Store
from tests.samples.compared import renamed, world, written


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "where to? Give --out FOLDER for a site, or --neurons"),
        (["--out", "site", "--single", "a.html", "--neurons", "1:2"], "where to?"),
        (["--single", "a.html"], "--neurons and --single go together"),
        (["--out", "site", "--neurons", "1:2"], "--neurons and --single go together"),
        (["--single", "a.pdf", "--neurons", "1:2"], "expected a name that ends in .html or .png"),
        (["--single", "no/a.html", "--neurons", "1:2"], "there is no such folder, make it first"),
        (["--single", "a.png", "--neurons", "1:2", "1:3"], "a .png is of one neuron"),
        (["--out", "site", "--against-store", "x"], "--against-store says where the run of"),
        (["--out", "site", "--extend", "demo"], "--extend belongs to `clipneuron run`"),
        (["--out", "taken"], "holds an atlas"),
        (["--out", "site"], "which run? Name one of those"),
        (["other", "--out", "site"], "starts with 'other'"),
        (["one", "--out", "site", "--recipe", "demo"], "leave out --recipe"),
        (["one", "--out", "site"], "does not say by which recipe it was begun"),
        (
            ["--out", "site", "--recipe", "demo", "--quantiles", "1.5"],
            "1.5 is no share of pictures",
        ),
    ],
)
def test_what_means_nothing_is_refused(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").touch()
    for name in ("one", "two"):
        Store(tmp_path / "runs").open_run(name, {"model": name})
    assert main(["atlas", *words, "--store", "runs", "--engine", "in-process"]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (world(neurons=9), "layer 0 has 9 neurons in other"),
        (world((2, 3)), "the layers 0, 1, none in common"),
        (renamed(world(embed=16), model="two"), "16 dimensions in A and 32 in B"),
    ],
)
def test_a_run_of_another_width_is_refused_before_the_model_is_loaded(
    tmp_path, monkeypatch, capsys, other, message
):
    monkeypatch.setattr(AtlasLine, "of", unwanted)
    monkeypatch.chdir(tmp_path)
    asked = {"name": "one", "images": "demo", "model": "demo", "pool": "demo"}
    written("runs", world(), "one", details={"recipe": asked})
    written("runs", other, "other")
    words = ["--store", "runs", "--out", "site", "--engine", "in-process"]
    assert main(["atlas", "one", *words, "--against", "other"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "--against other: " in said
    assert message in said
    assert "`clipneuron compare --match`" in said
    assert not (tmp_path / "site").exists()


def unwanted(*args: object, **more: object) -> None:
    pytest.fail("the model is loaded for runs that cannot be compared")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo", "--to", "s3://site"], "a job knows its run by the recipe"),
        (["--to", "site"], "a path that depends on where this command is typed"),
        (["--single", "a.html", "--neurons", "1:2"], "make single cards here"),
    ],
)
def test_a_job_is_asked_for_what_it_can_do(capsys, words, message):
    assert main(["submit", "atlas", *words, "--recipe", "demo", "--store", "s3://runs"]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_place_of_the_site_travels_to_the_job():
    words = ["atlas", "--to", "s3://site", "--recipe", "demo", "--store", "s3://runs"]
    chosen = build_parser().read(["submit", *words])
    order = _order(chosen, recipe_of(chosen))
    assert "--to s3://site" in order.command
    assert "-m jobs.atlas" in order.command
    elsewhere = build_parser().read(["submit", *[word.replace("site", "other") for word in words]])
    assert _order(elsewhere, recipe_of(elsewhere)).digest != order.digest


def test_an_empty_folder_is_a_place(tmp_path):
    from clipneuron.atlas.site import check
    from clipneuron.store.objects.local import LocalObjects

    check(LocalObjects(Path(tmp_path)))
