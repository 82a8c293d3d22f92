"""Pictures that the means are not of have remainders of their own: nothing of them is left out, however few D is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clipneuron.models.clip.model import load_clip
from clipneuron.readers.lenses import trace_of
from clipneuron.store.store import Run
from clipneuron.sweep.pipeline import Sweep
from tests.samples.towers import tiny_clip
from tests.samples.world import TOWER, quiet_runner, sweep_of, write_pictures

pytestmark = pytest.mark.slow
FIRST = 4
"""Pictures of the first part: they span three axes, of the tiny model's twelve dimensions."""
ALL = 12


@pytest.fixture(scope="module", params=["grown", "calibrated on a few"])
def swept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Sweep, Run, list[int]]:
    """A sweep until its directions, and the numbers of the pictures that its means are of."""
    folder = tmp_path_factory.mktemp("beyond")
    write_pictures(folder / "all", ALL)
    (folder / "pictures").mkdir()
    for number in range(FIRST):
        _move(folder, number)
    if request.param == "grown":
        run, _ = sweep_of(folder).run(quiet_runner(), until="directions")
    for number in set(range(ALL)) - {*range(FIRST), 5}:
        _move(folder, number)
    if request.param == "grown":
        sweep, own = sweep_of(folder, extends=run.name), [*range(FIRST)]
    else:
        sweep, own = sweep_of(folder, calibrate_on=3), [0, 3, 7]
    run, _ = sweep.run(quiet_runner(), until="directions")
    return sweep, run, own


def _move(folder: Path, number: int) -> None:
    name = f"{number:03d}.png"
    (folder / "all" / name).rename(folder / "pictures" / name)


@pytest.fixture(scope="module")
def centred(swept: tuple[Sweep, Run, list[int]]) -> dict[int, Tensor]:
    """By layer: the effects over their means, one by one and in float64 [image, neuron, embed]."""
    sweep, _, own = swept
    exact = load_clip(tiny_clip(dtype=torch.float64, **TOWER))
    pictures = sweep.collection.pictures
    pixels = np.stack([sweep.preprocess.decode(sweep.collection.read(item)) for item in pictures])
    found = {}
    for layer, lens in sweep.lenses.on(exact).items():
        with torch.inference_mode():
            effects = lens.effects(trace_of(exact, pixels, sweep.layers))
        found[layer] = effects - effects[own].mean(0)
    return found


def test_norms_are_those_of_whole_effects(swept, centred):
    norms = swept[1].read("effects", "norms").sort_by("index")
    assert norms.num_rows == ALL - 1
    for layer, effects in centred.items():
        found = torch.tensor(norms[f"layer_{layer}"].to_pylist())
        torch.testing.assert_close(found.double(), effects.norm(dim=-1), rtol=1e-4, atol=1e-6)


def test_directions_are_those_of_whole_top_effects(swept, centred):
    sweep, run, _ = swept
    rows = run.read(sweep.results(run).directions, "directions")
    clear = 0
    for row in rows.to_pylist():
        effects = centred[row["layer"]][:, row["neuron"]]
        top = effects[effects.norm(dim=1).argsort(descending=True)[: sweep.recipe.top]]
        _, sizes, vectors = torch.linalg.svd(top, full_matrices=False)
        explained = float(sizes[0] ** 2 / sizes.square().sum())
        assert row["explained_variance"] == pytest.approx(explained, abs=1e-4)
        if sizes[1] < 0.9 * sizes[0]:
            clear += 1
            cosine = float(torch.tensor(row["direction"]).double() @ vectors[0])
            assert abs(cosine) == pytest.approx(1, abs=1e-4)
    assert clear > rows.num_rows / 2
