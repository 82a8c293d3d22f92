"""Means from some of the pictures: they are those of precisely these pictures, and all others are passed over once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clipneuron.models.clip.model import load_clip
from clipneuron.readers.lenses import trace_of
from clipneuron.readers.pictures import evenly
from clipneuron.store.errors import RunMismatchError
from clipneuron.store.identity import differences
from clipneuron.store.store import Run
from clipneuron.sweep import forecast
from clipneuron.sweep.pipeline import Sweep
from clipneuron.sweep.retry import Retry
from tests.samples.towers import tiny_clip
from tests.samples.world import TOWER, quiet_runner, sweep_of, write_pictures

pytestmark = pytest.mark.slow
TABLES = {
    "calibrate": ("means", "remainder_means"),
    "effects": ("norms", "remainders", "summaries"),
}
CALIBRATED = [0, 2, 4, 6, 8, 10, 12, 15, 17, 19, 21, 23, 25, 27]
"""Fourteen of thirty pictures, spread evenly."""


def until_effects(sweep: Sweep) -> Run:
    run, _ = sweep.run(quiet_runner(), until="effects")
    return run


def tables_of(run: Run, *stages: str):
    return {(stage, table): run.read(stage, table) for stage in stages for table in TABLES[stage]}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep, Run]:
    """A run that nobody has disturbed, and the folder with its pictures."""
    folder = tmp_path_factory.mktemp("calibrate_on")
    write_pictures(folder / "pictures", 30)
    sweep = sweep_of(folder, calibrate_on=14)
    return folder, sweep, until_effects(sweep)


@pytest.fixture(scope="module")
def pixels(plain: tuple[Path, Sweep, Run]) -> dict[int, np.ndarray]:
    """Of each picture that can be read."""
    _, sweep, _ = plain
    pictures = sweep.collection.pictures
    usable = [number for number in range(30) if number != 5]
    return {n: sweep.preprocess.decode(sweep.collection.read(pictures[n])) for n in usable}


def test_means_are_those_of_pictures_spread_evenly_in_float64(plain, pixels):
    _, sweep, run = plain
    exact = load_clip(tiny_clip(dtype=torch.float64, **TOWER))
    lenses = sweep.lenses.on(exact)
    asked = np.stack([pixels[number] for number in CALIBRATED])
    means = run.read("calibrate", "means")
    assert len(run.committed("calibrate")) == 4
    for layer, lens in lenses.items():
        with torch.inference_mode():
            trace = trace_of(exact, asked, sweep.layers)
            assert trace.embeddings.dtype == torch.float64
            expected = lens.coefficients(trace).sum(0)
        own = means.filter(np.asarray(means["layer"]) == layer)
        found = torch.zeros_like(expected)
        neuron = torch.tensor(own["neuron"].to_pylist())
        found.index_add_(0, neuron, torch.tensor(own["coefficients"].to_pylist()).double())
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert sum(own["count"].to_pylist()) == 14 * len(expected)


@pytest.mark.parametrize(("count", "total"), [(5000, 9999), (5000, 14_000), (4, 6), (7, 7), (1, 5)])
def test_pictures_are_spread_as_evenly_as_can_be(count, total):
    gaps = np.diff([*evenly(count, total), total])
    assert evenly(count, total)[0] == 0
    assert len(gaps) == count
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_effects_are_centred_by_them_and_all_pictures_have_theirs(plain, pixels):
    _, sweep, run = plain
    norms = run.read("effects", "norms").sort_by("index")
    assert norms.num_rows == 30
    assert len(run.committed("effects")) == 8
    exact, usable = load_clip(tiny_clip(dtype=torch.float64, **TOWER)), list(pixels)
    for layer, lens in sweep.lenses.on(exact).items():
        with torch.inference_mode():
            effects = lens.effects(trace_of(exact, np.stack(list(pixels.values())), sweep.layers))
        mean = effects[[usable.index(number) for number in CALIBRATED]].mean(0)
        rows = norms[f"layer_{layer}"].combine_chunks()
        found = torch.tensor([rows[number].as_py() for number in usable])
        expected = (effects - mean).norm(dim=-1)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


def test_the_identity_says_so_and_is_what_it_was_without(plain):
    folder, sweep, _ = plain
    without = sweep_of(folder)
    assert "calibrate_on" not in without.identity
    assert "calibrate_on" in str(differences(sweep.identity, without.identity))
    assert sweep_of(folder, calibrate_on=15).open().name != sweep.open().name
    assert sweep_of(folder, calibrate_on=14, cache="some").identity == sweep.identity


def test_a_run_that_was_killed_with_a_cache_ends_as_one_without_that_was_not(plain, tmp_path):
    folder, _, run = plain
    sweep = sweep_of(folder, "killed", calibrate_on=14, cache=str(tmp_path / "cache"))
    killed = until_effects(sweep)
    for stage, shard in (
        ("calibrate", "00000002"),
        ("effects", "00000001"),
        ("effects", "00000006"),
    ):
        killed.objects.delete(f"commits/{stage}/{shard}.json")
    resumed = until_effects(sweep)
    assert tables_of(resumed, *TABLES) == tables_of(run, *TABLES)
    # Which of the two finds them is not told apart: the next shard is read while one is worked on.
    assert sum(commit.usage.cached for commit in resumed.committed("effects").values()) == 8


def test_what_is_foretold_is_what_is_passed_over(plain):
    _, sweep, run = plain
    sample = forecast.sample_of(sweep, 8)
    rows = {item.stage: item.rows for item in forecast.ahead(sweep, 30, sample)}
    tables = {item.table: item.rows for item in forecast.expected(sweep, 30, 8)}
    assert rows["calibrate"] == 14
    assert rows["effects"] == 30
    assert tables["means"] == run.read("calibrate", "means").num_rows


def test_a_run_that_grows_keeps_the_pictures_of_its_means(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", 16)
    sweep = sweep_of(tmp_path, calibrate_on=14)
    run = until_effects(sweep)
    before = tables_of(run, "calibrate")
    write_pictures(tmp_path / "more", 2, seed=1)
    for number in range(2):
        (tmp_path / f"more/{number:03d}.png").rename(pictures / f"{30 + number:03d}.png")
    with pytest.raises(RunMismatchError, match="calibrate_on: stored 14, asked 15"):
        until_effects(sweep_of(tmp_path, extends=run.name, calibrate_on=15))
    grown = sweep_of(tmp_path, extends=run.name, calibrate_on=14)
    again = until_effects(grown)
    assert again.read("effects", "norms").num_rows == 18
    assert tables_of(again, "calibrate") == before
    assert forecast.calibrated(grown, 5) == 5, "of a new run over five pictures"
    assert Retry.of(grown, again).failed_share == 1 / 14, "005.png is one of those calibrated on"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibrate_on": 31}, "asks for the means of 31 pictures, and there are 30"),
        ({"calibrate_on": 1}, "the mean of 1 picture, .* ask for at least 2"),
        ({"cache_size": 2.0}, "bounds a cache: name its place"),
        ({"cache": __file__}, "is a file; a store is a directory"),
    ],
)
def test_what_cannot_be_is_refused(plain, options, message):
    with pytest.raises(ValueError, match=message):
        sweep_of(plain[0], **options)
