"""Norms without an effect are those of effects; in half the memory up to a rounding that is stated."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from clipneuron.lens import effects as effects_module
from clipneuron.lens import norms
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.summaries import BINS, Collector, HalfCollector, Moments, top_keys
from clipneuron.sweep.memory import needs
from tests.lens.literal import plain_trace, plain_weights
from tests.samples.towers import random_pixels, tiny_tower


@pytest.fixture(scope="module")
def case():
    tower = tiny_tower(layers=11, width=32, heads=8, embed=24, image_size=16)
    return plain_weights(tower), plain_trace(tower, random_pixels(tower, 40))


def materialised(case, layer: int, split: str) -> tuple[SecondOrderLens, Moments, torch.Tensor]:
    """A lens in float64, what it saw, and the norms of its effects over their mean."""
    weights, trace = case
    exact = SecondOrderLens(SimpleNamespace(weights=weights), layer, split=split)
    effects = exact.effects(trace)
    seen = Moments.of(exact.coefficients(trace), exact.remainders(trace))
    return exact, seen, (effects - effects.mean(0)).norm(dim=2)


@pytest.mark.parametrize("split", ["equal", "centered"])
@pytest.mark.parametrize("layer", [0, 8])  # of 80 paths, more than a step of them, and of 16
@pytest.mark.parametrize("axes", [True, False])
def test_norms_from_halves_are_those_of_float64_effects(case, split, layer, axes, monkeypatch):
    monkeypatch.setattr(norms, "MADE", 50)  # of 128 neurons
    weights, trace = case
    exact, moments, expected = materialised(case, layer, split)
    mean, mean_remainder = moments.mean
    single = SimpleNamespace(weights=weights.to(torch.float32))
    lens = SecondOrderLens(single, layer, split=split, half=True)
    remainders = exact.remainders(trace) - mean_remainder
    if axes:
        lens, remainders = lens.narrowed(moments.axes), remainders @ moments.axes
    coefficients = (exact.coefficients(trace) - mean).float()
    found = lens.norms_of(coefficients, remainders.float())
    wrong = (found / expected - 1).abs()
    # In few dimensions cosines are large, and so are their errors: a fifth of this is left in 512.
    assert wrong.median() < 6e-5
    assert wrong.max() < 1e-3
    assert "_paths" not in lens.__dict__  # what takes memory and is not needed any more


@pytest.mark.parametrize("split", ["equal", "centered"])
@pytest.mark.parametrize("layer", [0, 8])
@pytest.mark.parametrize("axes", [True, False])
def test_norms_are_those_of_effects_in_blocks_of_any_size(case, split, layer, axes, monkeypatch):
    _, trace = case
    exact, moments, expected = materialised(case, layer, split)
    mean, rest = moments.mean
    lens = exact
    if axes:
        lens, rest = exact.narrowed(moments.axes), rest @ moments.axes
    for size, made in ((1, 256), (7000, 50), (2**24, 256)):  # 16, more, and all 128 neurons
        monkeypatch.setattr(effects_module, "IN_CACHE", size)
        monkeypatch.setattr(norms, "MADE", made)
        lens.__dict__.pop("products", None)
        found = lens.centred(trace, mean, rest)
        assert_close(found.coefficients, exact.coefficients(trace) - mean, rtol=1e-9, atol=1e-15)
        assert_close(found.remainders, lens.remainders(trace) - rest, rtol=1e-9, atol=1e-15)
        # axes leave out 1e-4 of a remainder's spread
        assert_close(found.norms, expected, rtol=1e-5 if axes else 1e-9, atol=0)
        given = lens.norms_of(found.coefficients, found.remainders)
        assert_close(given, found.norms, rtol=1e-12, atol=0)


def test_a_head_that_writes_nothing_has_a_norm_of_nothing(case):
    weights, trace = case
    silent = [replace(block, output=torch.zeros_like(block.output)) for block in weights.blocks]
    weights = replace(weights, blocks=tuple(silent))
    for half in (False, True):
        lens = SecondOrderLens(SimpleNamespace(weights=weights), 8, half=half)
        remainders = lens.remainders(trace)
        found = lens.norms(trace)
        assert_close(found, remainders.norm(dim=1)[:, None].expand_as(found), rtol=1e-6, atol=0)


def test_coefficients_of_any_size_are_kept_to_a_few_parts_in_ten_thousand():
    generator = torch.Generator().manual_seed(2)
    plain, half = Collector(6, 9, 4), HalfCollector(6, 9, 4)
    for batch in range(3):
        rows = torch.randn(3, 6, 9, generator=generator)
        rows *= 10.0 ** torch.randint(-12, 5, (3, 6, 1), generator=generator)
        norms = torch.rand(3, 6, generator=generator)
        for collector in (plain, half):
            collector.add(norms, torch.arange(3) + 3 * batch, rows)
    expected, found = plain.summary(), half.summary()
    assert found.keys.equal(expected.keys)
    assert found.histogram.equal(expected.histogram)
    wrong = (found.coefficients - expected.coefficients).norm(dim=2)
    assert (wrong <= 5e-4 * expected.coefficients.norm(dim=2)).all()


def test_unused_places_are_zero_in_halves():
    half = HalfCollector(2, 3, 5)
    half.add(torch.ones(1, 2), torch.tensor([7]), torch.zeros(1, 2, 3))
    assert_close(half.summary().coefficients, torch.zeros(2, 5, 3))


def test_what_others_have_beaten_is_left_out_of_halves_too():
    bound = top_keys(torch.tensor([2.0, 0.5]), torch.tensor([9, 9]))
    half = HalfCollector(2, 3, 2, bound=bound)
    half.add(torch.ones(1, 2), torch.tensor([7]), torch.ones(1, 2, 3))
    found = half.summary()
    assert found.keys[0].tolist() == [-1, -1]
    assert found.top_images[1].tolist() == [7, -1]
    assert found.coefficients.sum(2).tolist() == [[0.0, 0.0], [3.0, 0.0]]


@pytest.mark.parametrize("layer", [0, 8])
@pytest.mark.parametrize("split", ["equal", "centered"])
def test_what_a_layer_holds_is_what_was_planned(case, layer, split):
    """Bytes of the very tensors; the plan knows shapes alone, and remainders at most."""
    weights = case[0].to(torch.float32)
    shape = needs.Shape(
        layers=11,
        heads=8,
        neurons=128,
        width=32,
        embed=24,
        tokens=5,
        weights=0,
        batch=1,
        top=7,
        shard=1,
        remainders=split == "equal",
    )
    single = SecondOrderLens(SimpleNamespace(weights=weights), layer, split=split)
    planned = needs.held(shape, layer, "float32")
    assert taken(*single.products.gram) == planned.gram
    assert taken(single.products.heads, single.products.remainder) == planned.cross
    assert taken(single._paths.read, single._paths.write) == planned.paths
    assert held(Collector(128, single.paths, 7)) == planned.collector
    half = SecondOrderLens(SimpleNamespace(weights=weights), layer, split=split, half=True)
    products, planned = half.products, needs.held(shape, layer, "float16")
    assert taken(products.lengths, *products.gram) == planned.gram
    assert taken(products.heads, products.remainder) == planned.cross
    assert held(HalfCollector(128, half.paths, 7)) == planned.collector


def test_the_plan_has_the_lens_constants():
    assert (needs.STEP, needs.MADE, needs.BINS) == (norms.STEP, norms.MADE, BINS)


def taken(*tensors: torch.Tensor) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)


def held(collector: Collector) -> int:
    """The tensors that grow with the layer."""
    found = [value for value in vars(collector).values() if isinstance(value, torch.Tensor)]
    return taken(*(each for each in found))
