"""What a sweep takes of memory, how it is made to fit, and that what does not is refused; and swept that way."""

import doctest
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipneuron.config.named import named_recipe
from clipneuron.config.recipe import Recipe
from clipneuron.config.values import memory
from clipneuron.models.allocation import KEPT
from clipneuron.sweep.memory.models import shape_of
from clipneuron.sweep.memory.needs import Shape, calibrating, held, need
from clipneuron.sweep.memory.plans import MemoryPlan, fitted

GB = 1e9
LARGE = Shape(
    layers=24,
    heads=16,
    neurons=4096,
    width=1024,
    embed=768,
    tokens=257,
    weights=1_710_000_000,
    batch=16,
    top=100,
    shard=2048,
    pixels=3 * 224**2,
)
"""ViT-L-14 as its recipe sweeps it."""
ALL = tuple(range(23))


def plan(budget: float, precision: memory.Precision = "auto", on_cpu: bool = False) -> MemoryPlan:
    return fitted(LARGE, ALL, budget, precision, on_cpu)


def test_the_large_model_holds_what_the_shapes_say() -> None:
    layers = [held(LARGE, layer, "float32") for layer in ALL]
    sums = {part: sum(getattr(each, part) for each in layers) / GB for part in vars(layers[0])}
    assert sums["gram"] == pytest.approx(10.7, abs=0.1)
    assert sums["cross"] == pytest.approx(5.2, abs=0.1)
    assert sums["collector"] == pytest.approx(7.5, abs=0.1)
    assert sums["paths"] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("budget", "precision", "on_cpu", "expected", "passes"),
    [
        (0, "auto", False, "float32", 1),  # as ever
        (0, "float16", False, "float16", 1),
        (32 * GB, "auto", False, "float32", 1),
        (24 * GB, "auto", False, "float16", 1),
        (20 * GB, "auto", False, "float16", 1),
        (12 * GB, "auto", False, "float16", 2),
        (8 * GB, "auto", False, "float16", 3),
        (24 * GB, "float32", False, "float32", 2),
        (24 * GB, "auto", True, "float16", 6),  # tables are in the same memory
        (40 * GB, "auto", True, "float32", 2),  # numbers are those of a GPU with as much
    ],
)
def test_memory_chooses_precision_then_groups(
    budget: float, precision: memory.Precision, on_cpu: bool, expected: str, passes: int
) -> None:
    found = plan(budget, precision, on_cpu)
    assert (found.precision, len(found.groups)) == (expected, passes)
    assert tuple(layer for group in found.groups for layer in group) == ALL
    for group in found.groups:
        needed = need(LARGE, ALL, group, found.precision)
        assert not budget or needed.of(on_cpu) <= budget
        assert needed.at_model <= found.need.at_model
    assert ("accepted: norms off by" in found.describe()) == (expected == "float16")


def test_the_recipe_sweeps_all_layers_in_one_pass_within_its_memory() -> None:
    recipe = named_recipe("vit_l_14", {"images": "imagenet"})
    shape = replace(LARGE, batch=recipe.batch_size, top=recipe.top, shard=recipe.shard_size)
    budget = memory.bytes_in(recipe.memory)
    assert budget == 20 * GB
    assert recipe.layers == ()  # all
    found = fitted(shape, ALL, budget, recipe.precision, on_cpu=False)
    assert (found.groups, found.precision) == ((ALL,), "float16")


@pytest.mark.parametrize(
    ("budget", "precision", "on_cpu", "message"),
    [
        (4 * GB, "auto", False, r"`recipe.memory` 4.0 GB is not enough: layer 0 alone takes 4\.\d GB in float16\. "),
        (5 * GB, "float32", False, r"takes 5\.\d GB in float32\. Give more, `recipe.precision` float16, a smaller"),
        (17 * GB, "auto", True, r"in float16, of which 17\.8 GB for tables and pixels of shards"),
    ],
)  # fmt: skip
def test_what_cannot_fit_is_refused(
    budget: float, precision: memory.Precision, on_cpu: bool, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan(budget, precision, on_cpu)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_main_memory_counts_only_where_the_model_is_said_to_be_there(
    tmp_path: Path, device: str
) -> None:
    """A driver has no GPU, and its workers may."""
    from tests.samples.world import sweep_of

    free = sweep_of(tmp_path, shard_size=10000)
    budget = f"{free.memory.need.at_model / 1e6 + 0.1:.1f}MB"
    bound = sweep_of(tmp_path, shard_size=10000, memory=budget)
    assert bound.memory.need == free.memory.need
    with pytest.raises(ValueError, match=r"is not enough: .* of which .* for tables and pixels"):
        sweep_of(tmp_path, shard_size=10000, memory=budget, device=device)


def test_norms_of_two_bytes_take_less_of_the_tables(tmp_path: Path) -> None:
    from tests.samples.world import sweep_of

    sweeps = [sweep_of(tmp_path, norms=norms) for norms in ("float32", "float16")]
    usual, short = (sweep.memory.need for sweep in sweeps)
    shape = shape_of(sweeps[0].clip, sweeps[0].recipe)
    assert usual.at_model == short.at_model
    assert usual.tables - short.tables == 2 * 2 * shape.shard * shape.neurons * (shape.layers - 1)


def test_calibrate_has_all_layers_at_once_whatever_the_groups() -> None:
    """Activations of all layers, what blocks did with them, a block's own work, and sums."""
    large = replace(LARGE, batch=64)
    recorded = 257 * (23 * 4096 + 23 * (16 + 2)) * 4
    block = 257 * (2 * 4096 + 6 * 1024) * 4
    assert calibrating(large, ALL) > 64 * (recorded + block)
    assert need(large, ALL, (22,), "float16").at_model == large.weights + calibrating(large, ALL)
    with pytest.raises(
        ValueError, match=r"`calibrate`, which has all layers at once, takes 9\.2 GB\. Give more"
    ):
        fitted(large, ALL, 8 * GB, "auto", on_cpu=False)
    assert len(fitted(large, ALL, 12 * GB, "auto", on_cpu=False).groups) > 1


def test_the_first_trace_on_the_cpu_lies_between_holes_of_its_own_size() -> None:
    found = need(replace(LARGE, batch=64), ALL, (22,), "float16")
    first = calibrating(replace(LARGE, batch=64), ALL)
    assert found.free == pytest.approx(KEPT + 64 * 257 * (23 * 4096 + 23 * (16 + 2)) * 4)
    assert found.of(on_cpu=True) == pytest.approx(LARGE.weights + first + found.free + found.tables)


def test_pixels_of_shards_are_in_main_memory() -> None:
    without = need(replace(LARGE, pixels=0), ALL, ALL, "float32")
    found = need(LARGE, ALL, ALL, "float32")
    assert found.tables - without.tables == 3 * 2048 * 3 * 224**2
    assert found.at_model == without.at_model


def test_freed_memory_counts_where_the_model_is_in_main_memory() -> None:
    large = need(LARGE, ALL, ALL, "float32")
    assert large.free == KEPT
    assert large.of(on_cpu=True) == large.at_model + large.tables + KEPT
    assert large.of(on_cpu=False) == large.at_model
    small = replace(LARGE, batch=1, neurons=64, width=64, embed=32, tokens=5, heads=4, top=1)
    assert 0 < need(small, ALL, ALL, "float32").free < KEPT / 20


@pytest.mark.parametrize("text", ["24", "GB", "0GB", "-1GB", "24 gigabytes", "24gb", "1e3GB"])
def test_amounts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no amount of memory: expected a number and a unit"):
        Recipe(name="x", model="x", images="x", memory=text)


def test_amounts_are_read_as_written() -> None:
    assert doctest.testmod(memory).failed == 0
    assert memory.bytes_in("22.5GiB") == 22.5 * 2**30


def test_a_sweep_in_groups_is_bit_for_bit_that_in_one_pass(tmp_path: Path) -> None:
    from tests.samples.world import quiet_runner, sweep_of

    whole = sweep_of(tmp_path, "one")
    groups = sweep_of(tmp_path, "two")
    two = replace(whole.memory, groups=((0,), (1,)))
    groups.__dict__["memory"] = two
    assert groups.identity == whole.identity
    counted = []
    for sweep in (whole, groups):
        _, reports = sweep.run(quiet_runner(), until="effects")
        counted.append([(each.name, each.rows_now, each.failed_rows) for each in reports])
    assert counted[0] == counted[1]
    one, other = (sweep.open() for sweep in (whole, groups))
    for table in ("norms", "summaries", "remainders"):
        assert one.read("effects", table).equals(other.read("effects", table)), table


def test_a_sweep_in_half_precision_is_another_run_with_nearly_the_same_tables(
    tmp_path: Path,
) -> None:
    from tests.samples.world import quiet_runner, sweep_of

    single, half = sweep_of(tmp_path), sweep_of(tmp_path, precision="float16")
    assert "precision" not in single.identity  # runs of earlier versions are those of float32
    assert half.identity == {**single.identity, "precision": "float16"}
    assert "accepted: norms off by" in half.describe()
    runs = [sweep.run(quiet_runner(), until="directions")[0] for sweep in (single, half)]
    assert runs[0].name != runs[1].name
    norms = [run.read("effects", "norms").sort_by("index") for run in runs]
    for layer in ("layer_0", "layer_1"):
        expected, found = (
            np.array([row for row in table[layer].to_pylist() if row]) for table in norms
        )
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    tables = [run.read("directions", "directions") for run in runs]
    rows = [table.sort_by([("layer", "ascending"), ("neuron", "ascending")]) for table in tables]
    expected, found = (np.array(table["direction"].to_pylist()) for table in rows)
    explained = rows[0]["explained_variance"].to_numpy()
    clear = explained > 0.55  # the second direction is not as good
    assert clear.sum() > 20
    assert ((found * expected).sum(1)[clear] > 1 - 1e-5).all()
    np.testing.assert_allclose(rows[1]["explained_variance"].to_numpy(), explained, atol=2e-3)


def test_a_sweep_that_cannot_fit_is_refused_before_it_begins(tmp_path: Path) -> None:
    from tests.samples.world import sweep_of

    with pytest.raises(ValueError, match=r"`recipe.memory` 1.0 MB is not enough"):
        sweep_of(tmp_path, memory="1MB", shard_size=10000)
    assert not (tmp_path / "store").exists()
