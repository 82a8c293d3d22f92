from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.attribution.records import Linear, Record
from clipneuron.lens.attribution.relevance import Relevance, _ratio, _shares, relevance
from clipneuron.models.clip.recording import Wanted, block_linears, recorded
from tests.lens.attribution.literal import handed
from tests.samples.towers import random_pixels, tiny_tower

SMALL = {"layers": 2, "width": 8, "heads": 2, "embed": 6, "image_size": 16, "mlp_ratio": 1.5}
TOWERS = {
    "quick_gelu": {},
    "gelu": {"quick_gelu": False},
    "layer_scale": {"ls_init_value": 0.3},
    "no_ln_pre": {"no_ln_pre": True},
    "token_first": {"batch_first": False},
}


def some_directions(images: int, embed: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return normalize(torch.randn(images, embed, generator=generator, dtype=torch.float64), dim=1)


def relevance_of(tower, pixels, directions, first: int = 0) -> tuple[Record, Relevance]:
    with torch.no_grad():
        record, _ = recorded(tower, pixels, directions, Wanted(blocks=first))
        linears = [block_linears(block) for block in tower.transformer.resblocks]
        return record, relevance(record, linears, directions @ tower.proj.T, first)


@pytest.fixture(scope="module", params=TOWERS)
def case(request):
    tower = tiny_tower(**SMALL, **TOWERS[request.param])
    directions = normalize(
        torch.randn(2, 6, generator=torch.Generator().manual_seed(3)).double(), dim=1
    )
    return tower, random_pixels(tower, 2), directions


def test_relevance_is_what_tables_of_contributions_give(case):
    tower, pixels, directions = case
    _, found = relevance_of(tower, pixels, directions)
    with torch.no_grad():
        expected = handed(tower, pixels[1], directions[1])
    for layer in range(2):
        ours = found.attention[layer][1]
        theirs = expected.attention[layer][:, : ours.shape[1]]
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.tokens[1], expected.entering[0], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.patches[1], expected.patches, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", TOWERS)
def test_every_block_hands_on_all_it_is_given(kind):
    """At a width at which no output is without a positive contribution; those would lose theirs."""
    tower = tiny_tower(layers=3, **TOWERS[kind])
    directions = some_directions(4, 24)
    record, _ = relevance_of(tower, random_pixels(tower, 4), directions)
    linears = [block_linears(block) for block in tower.transformer.resblocks]
    for first in range(3):
        # of a tower that begins with block `first`, the tokens that enter it
        upper = {layer - first: block for layer, block in record.blocks.items() if layer >= first}
        cut = replace(record, blocks=upper)
        with torch.no_grad():
            found = relevance(cut, linears[first:], directions @ tower.proj.T, 0)
        total = found.tokens.sum(dim=(1, 2))
        torch.testing.assert_close(total, torch.ones(4).double(), rtol=1e-9, atol=0)


def test_little_is_lost_in_float32():
    tower = tiny_tower(dtype=torch.float32)
    directions = some_directions(5, 24).float()
    _, found = relevance_of(tower, random_pixels(tower, 5), directions)
    torch.testing.assert_close(found.tokens.sum((1, 2)), torch.ones(5), rtol=1e-3, atol=0)


def test_relevance_stops_at_the_first_block_asked_for(case):
    tower, pixels, directions = case
    _, whole = relevance_of(tower, pixels, directions)
    record, upper = relevance_of(tower, pixels, directions, first=1)
    assert list(record.blocks) == [1]
    assert list(upper.attention) == [1]
    assert upper.tokens is None
    assert upper.patches is None
    assert torch.equal(upper.attention[1], whole.attention[1])


def test_a_linear_layer_by_hand():
    """Inputs 1 and -2 with weights (3, 1) and (-1, 2): 3 and 2 are positive in the first output, 1 in the second."""
    linear = Linear(torch.tensor([[3.0, 1.0], [-1.0, 2.0]]), torch.tensor([10.0, 20.0]))
    inputs = torch.tensor([[[1.0, -2.0]]])
    outputs = torch.tensor([[[15.0, 17.0]]])
    given = torch.tensor([[[10.0, 4.0]]])
    shared = inputs * _ratio(linear, inputs, outputs, given)
    torch.testing.assert_close(shared, torch.tensor([[[6.0 + 4.0, 4.0]]]))


def test_an_input_of_zero_and_an_output_without_positive_contributions_get_nothing():
    linear = Linear(torch.tensor([[1.0, -1.0], [2.0, -2.0]]), torch.zeros(2))
    inputs = torch.tensor([[[0.0, 3.0]]])
    ratio = _ratio(linear, inputs, inputs @ linear.weight, torch.tensor([[[1.0, 1.0]]]))
    assert torch.isfinite(ratio).all()
    torch.testing.assert_close(inputs * ratio, torch.tensor([[[0.0, 1.0]]]))


def test_a_sum_by_hand():
    """3 + 1 and 2 - 1 share 8 and 1: 6 + 2 = 8 and 2 - 1 = 1; of 9 together, 8/9 and 1/9."""
    first, second = torch.tensor([[[3.0, 2.0]]]), torch.tensor([[[1.0, -1.0]]])
    one, two = _shares(first, second, torch.tensor([[[8.0, 1.0]]]))
    torch.testing.assert_close(one, torch.tensor([[[6.0, 2.0]]]))
    torch.testing.assert_close(two, torch.tensor([[[2.0, -1.0]]]))
    # with sums 4 and -2 of 2, they share 2 as 4 to 2: a third of the whole becomes positive
    one, two = _shares(first, -second, torch.tensor([[[2.0, 0.6]]]))
    torch.testing.assert_close(one.sum() + two.sum(), torch.tensor(2.6))
    assert one.sum() > 0
    assert two.sum() > 0


def test_pictures_do_not_meet(case):
    tower, pixels, directions = case
    _, both = relevance_of(tower, pixels, directions)
    _, alone = relevance_of(tower, pixels[1:], directions[1:])
    torch.testing.assert_close(both.patches[1:], alone.patches, rtol=1e-9, atol=1e-12)
