"""Summaries merge to the same result whatever the cut, order and grouping."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from clipneuron.lens.summaries import Collector, Moments, Summary, merge, top_keys

NEURONS, PATHS, TOP = 5, 3, 4


def batch(
    seed: int, images: int, first: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(images, NEURONS, PATHS, generator=generator)
    # Whole numbers make equal norms common, which is where an order could show.
    norms = (coefficients.norm(dim=-1) * 2).round() / 2
    return norms, torch.arange(first, first + images), coefficients


def summarised(batches) -> Summary:
    collector = Collector(NEURONS, PATHS, TOP)
    for item in batches:
        collector.add(*item)
    return collector.summary()


def assert_same(one: Summary, other: Summary) -> None:
    assert one.count == other.count
    for name in ("keys", "coefficients", "histogram"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for name in ("norm_sum", "square_sum", "fourth_sum"):
        assert_close(getattr(one, name), getattr(other, name), rtol=1e-12, atol=0)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 99), st.randoms())
def test_any_cut_order_and_grouping_gives_the_same_summary(sizes, seed, random):
    norms, images, coefficients = batch(seed, sum(sizes))
    cuts = [0, *np.cumsum(sizes).tolist()]
    parts = [(norms[a:b], images[a:b], coefficients[a:b]) for a, b in pairwise(cuts)]
    whole = summarised([(norms, images, coefficients)])
    assert_same(summarised(parts), whole)
    pieces = [summarised([part]) for part in parts]
    random.shuffle(pieces)
    while len(pieces) > 1:
        place = random.randrange(len(pieces) - 1)
        pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
    assert_same(pieces[0].ranked(), whole)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=5), st.integers(0, 99))
def test_what_others_have_beaten_is_not_missed_in_the_whole(sizes, seed):
    """The bound is that of all parts before; ties, of which there are many, are ranked by image."""
    norms, images, coefficients = batch(seed, sum(sizes))
    whole, merged = summarised([(norms, images, coefficients)]), None
    for a, b in pairwise([0, *np.cumsum(sizes).tolist()]):
        bound = None if merged is None else merged.ranked().keys[:, -1]
        collector = Collector(NEURONS, PATHS, TOP, bound=bound)
        # The last image of a part first: no order within it matters either.
        collector.add(*(values[a:b].flip(0) for values in (norms, images, coefficients)))
        part = collector.summary()
        dropped = part.keys < 0
        assert (
            bound is None or (part.keys[~dropped] > bound[:, None].expand(-1, TOP)[~dropped]).all()
        )
        assert (part.coefficients[dropped] == 0).all()
        merged = part if merged is None else merged + part
    assert_same(merged.ranked(), whole)


def test_top_effects_are_the_largest_ones_with_their_coefficients():
    norms, images, coefficients = batch(1, 50, first=100)
    found = summarised([(norms, images, coefficients)])
    for neuron in range(NEURONS):
        order = np.lexsort((images, -norms[:, neuron]))[:TOP]
        assert found.top_images[neuron].tolist() == images[order].tolist()
        assert_close(found.top_norms[neuron], norms[order, neuron])
        assert_close(found.coefficients[neuron], coefficients[order, neuron])
        assert found.threshold[neuron] == norms[order[-1], neuron]


def test_fewer_images_than_places_leave_places_unused():
    found = summarised([batch(2, 2)])
    assert (found.top_images[:, 2:] == -1).all()
    assert (found.top_norms[:, 2:] == 0).all()
    assert (found.threshold == found.top_norms[:, 1]).all()


def test_quantiles_are_good_to_the_width_of_a_bin():
    norms = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) * 5
    collector = Collector(3, 1, TOP)
    collector.add(norms, torch.arange(4000), norms[..., None])
    exact = norms.double().quantile(0.98, dim=0)
    assert_close(collector.summary().quantile(0.98), exact, rtol=0.075, atol=0)


def test_image_numbers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="between 0 and 4294967295"):
        top_keys(torch.ones(1), torch.tensor([1 << 32]))


def test_nothing_to_merge_or_to_average_is_an_error():
    with pytest.raises(ValueError, match="at least one summary"):
        merge([])
    nothing = Moments.of(torch.zeros(0, 2, 3), torch.zeros(0, 1))
    with pytest.raises(ValueError, match="at least one image"):
        _ = nothing.mean


def test_quantiles_are_computed_where_the_summary_is():
    """On a device without values, where a tensor of another device would not be taken."""
    summary = summarised([batch(3, 9)])
    fields = {
        name: value.to("meta") if isinstance(value, torch.Tensor) else value
        for name, value in vars(summary).items()
    }
    assert replace(summary, **fields).quantile(0.98).device.type == "meta"
