"""Norms in float16: half the bytes, a stated error, and nothing else that changes."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from clipneuron.atlas.stages.shown import LayerNorms, ShownWorker
from clipneuron.engine.runner import RunIncompleteError
from clipneuron.engine.stage import Shard
from clipneuron.models.clip.model import load_clip
from clipneuron.operations.compare.reasons import reasons
from clipneuron.readers.arrow import tensor
from clipneuron.store.errors import RunMismatchError
from clipneuron.store.store import Run, Store
from clipneuron.sweep import forecast
from clipneuron.sweep.pipeline import Sweep
from clipneuron.sweep.retry import Retry
from clipneuron.sweep.stages.effects import rounded
from tests.samples.towers import tiny_clip
from tests.samples.world import TOWER, quiet_runner, recipe_of, sweep_of, write_pictures

RELATIVE, ABSOLUTE, NORMAL = 2.0**-11, 3e-8, 6.2e-5
"""The stated error: a share of a norm, and where it is below the least normal number of float16 an amount."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Run]:
    """The same pictures with norms in float32 and in float16, and their folder."""
    folder = tmp_path_factory.mktemp("norms")
    sweeps = sweep_of(folder), sweep_of(folder, norms="float16")
    whole, short = (sweep.run(quiet_runner(), until="directions")[0] for sweep in sweeps)
    return folder, whole, short


def layer_of(run: Run, layer: int) -> np.ndarray:
    rows = run.read("effects", "norms").sort_by("index")[f"layer_{layer}"]
    return tensor(rows.drop_null()).numpy()


def test_norms_are_those_of_float32_rounded_and_off_by_no_more_than_is_said(runs):
    _, whole, short = runs
    for layer in (0, 1):
        exact, found = layer_of(whole, layer), layer_of(short, layer)
        assert (exact.dtype, found.dtype) == (np.float32, np.float16)
        assert np.array_equal(found, exact.astype(np.float16))
        error = np.abs(found.astype(np.float64) - exact)
        normal = exact > NORMAL
        assert (error[normal] <= RELATIVE * exact[normal]).all()
        assert (error[~normal] <= ABSOLUTE).all()


def test_the_bounds_hold_for_norms_of_any_size_and_are_reached():
    exact = torch.logspace(-9, 4.8, 200_000, dtype=torch.float64).float()[None]
    error = (rounded(exact, 0).double() - exact).abs()
    normal = exact > NORMAL
    assert 0.99 * RELATIVE < (error / exact)[normal].max() <= RELATIVE
    assert 0.9 * ABSOLUTE < error[~normal].max() <= ABSOLUTE


def test_all_other_tables_are_bit_for_bit_those_of_float32(runs):
    _, whole, short = runs
    for stage, table in (
        ("calibrate", "means"),
        ("effects", "summaries"),
        ("effects", "remainders"),
        ("directions", "directions"),
    ):
        assert whole.read(stage, table).equals(short.read(stage, table)), table


def test_the_identity_says_so_and_is_what_it_was_without(runs):
    folder, whole, short = runs
    assert "norms" not in whole.identity
    assert short.identity == {**whole.identity, "norms": "float16"}
    assert sweep_of(folder, norms="float32").identity == whole.identity
    (said, *_) = reasons(whole, short)
    assert (said.where, said.field, said.a, said.b) == ("identity", "norms", "nothing", '"float16"')


def test_a_run_grows_in_the_format_that_it_began_in(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", 5)
    run, _ = sweep_of(tmp_path, norms="float16").run(quiet_runner(), until="effects")
    write_pictures(tmp_path / "more", 2, seed=1)
    for number in range(2):
        (tmp_path / f"more/{number:03d}.png").rename(pictures / f"{20 + number:03d}.png")
    with pytest.raises(RunMismatchError, match='norms: stored "float16", asked nothing'):
        sweep_of(tmp_path, extends=run.name).open()
    grown = sweep_of(tmp_path, extends=run.name, norms="float16")
    grown.run(quiet_runner(), until="effects")
    norms = run.read("effects", "norms")
    assert norms.schema.field("layer_0").type.value_type == pa.float16()
    assert (norms.num_rows, norms["layer_0"].null_count) == (7, 0)
    assert run.verify() == []


def test_a_picture_that_is_tried_again_has_norms_in_the_format_of_the_others(tmp_path):
    sweep = sweep_of(tmp_path, norms="float16")
    run, _ = sweep.run(quiet_runner(), until="effects")
    pictures = tmp_path / "pictures"
    shutil.copy(pictures / "000.png", pictures / "005.png")
    retry = Retry.of(sweep_of(tmp_path, norms="float16", extends=run.name), run)
    assert {image for image, _ in retry.usable} == {"005.png"}
    retry.again().run(quiet_runner(), until="effects")
    norms = run.read("effects", "norms")
    assert norms.schema.field("layer_0").type.value_type == pa.float16()
    assert norms["image"].to_pylist()[12:] == ["005.png"]
    rows = tensor(norms["layer_0"].drop_null()).numpy()
    # It is a copy of the first, in a batch of its own, which rounds otherwise: by a unit of float16 at most.
    np.testing.assert_allclose(rows[-1], rows[0], rtol=2.0**-10)
    assert run.verify() == []


def test_fewer_bytes_are_foretold(runs, monkeypatch):
    folder, *_ = runs
    monkeypatch.setattr(forecast, "_SECONDS", 0.0)
    sizes = {}
    for kind in ("float32", "float16"):
        sweep = sweep_of(folder, norms=kind)
        sample = forecast.sample_of(sweep, 8)
        found = {item.table: item.size for item in forecast.expected(sweep, 10**6, 1000, sample)}
        sizes[kind] = found["norms"]
    saved = 2 * len(sweep.layers) * sweep.clip.neurons * 10**6
    assert sizes["float32"] - sizes["float16"] > saved / 2, "the names of pictures are in both"


def test_what_float16_cannot_hold_is_refused_and_not_infinite(tmp_path):
    network = tiny_clip(**TOWER)
    with torch.no_grad():
        network.visual.proj *= 1e9
    recipe = recipe_of(tmp_path, norms="float16", normalize=False)
    sweep = Sweep.of(recipe, Store(tmp_path / "store"), load_clip(network))
    with pytest.raises(
        RunIncompleteError, match=r"and float16 ends at 65,504: .* `recipe.norms` float32"
    ):
        sweep.run(quiet_runner(attempts=1), until="effects")


def test_shown_pictures_reach_their_thresholds_whatever_norms_are_rounded_to(runs):
    """The last of the top pictures is the threshold: rounded alone, every second one would be below it."""
    active = []
    for run in runs[1:]:
        loaded = LayerNorms(run, "effects", "directions").load(
            Shard("layer-00", 1, (0, tuple(range(24))))
        )
        active.append(
            ShownWorker(top=2, quantiles=(0.0, 0.5), active=24).process(loaded, print).tables
        )
    one, other = (found["active_neurons"] for found in active)
    pairs = (
        {*zip(t["index"].to_pylist(), t["neuron"].to_pylist(), strict=True)} for t in (one, other)
    )
    exact, found = pairs
    assert exact
    assert found >= exact
