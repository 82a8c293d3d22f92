from dataclasses import replace
from inspect import unwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from numpy.testing import assert_allclose
from torch import Tensor

from clipneuron.lens.first_order import (
    bias_effects,
    head_effects,
    mlp_effects,
    stem_effects,
    token_effects,
    token_projections,
)
from clipneuron.lens.options import Split
from clipneuron.lens.trace import TowerWeights, Trace
from clipneuron.models.clip.capture import capture, tower_weights
from tests.lens.literal import plain_trace, plain_weights
from tests.samples.towers import authors_tower, random_pixels, tiny_tower


@pytest.fixture(scope="module", params=["plain", "layer scale", "no ln_pre"])
def captured(request: pytest.FixtureRequest) -> tuple[TowerWeights, Trace]:
    options = {"plain": {}, "layer scale": {"ls_init_value": 0.5}, "no ln_pre": {"no_ln_pre": True}}
    tower = tiny_tower(layers=3, **options[request.param])
    return plain_weights(tower), plain_trace(tower, random_pixels(tower, 3))


def total(weights: TowerWeights, trace: Trace, split: Split, normalize: bool) -> Tensor:
    options = {"split": split, "normalize": normalize}
    return (
        head_effects(weights, trace, **options).sum(dim=(1, 2))
        + mlp_effects(weights, trace, **options).sum(dim=1)
        + stem_effects(weights, trace, **options)
        + bias_effects(weights, trace, **options)
    )


def literal_token_effect(
    weights: TowerWeights, trace: Trace, layer: int, head: int, token: int, split: Split
) -> Tensor:
    """One head's reading of one token, on its way to the output, line by line [image, embed]."""
    block, layers, heads = weights.blocks[layer], weights.layers, weights.heads
    tokens = trace.attention[layer].shape[2]
    value = trace.normalized[layer][:, token] @ block.value[head].T + block.value_bias[head]
    written = trace.attention[layer][:, head, token, None] * value @ block.output[head]
    sigma = trace.ln_post.sigma[:, None]
    if split == "centered":
        centered = written - written.mean(dim=1, keepdim=True)
        return (weights.ln_post_gamma * centered / sigma) @ weights.projection
    parts = (1 + 2 * layers) * heads * tokens
    written = written + block.output_bias / (heads * tokens) - trace.ln_post.mean[:, None] / parts
    normed = weights.ln_post_gamma * written / sigma + weights.ln_post_beta / parts
    return normed @ weights.projection


@pytest.mark.parametrize("split", ["equal", "centered"])
def test_all_first_order_effects_add_up_to_the_output(
    captured: tuple[TowerWeights, Trace], split: Split
):
    weights, trace = captured
    raw = total(weights, trace, split, normalize=False)
    torch.testing.assert_close(raw, trace.embeddings, rtol=1e-10, atol=1e-12)
    unit = total(weights, trace, split, normalize=True)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(3).double(), rtol=1e-10, atol=0)


@pytest.mark.parametrize("split", ["equal", "centered"])
def test_token_effects_are_the_formula(captured: tuple[TowerWeights, Trace], split: Split):
    weights, trace = captured
    effects = token_effects(weights, trace, 1, split=split, normalize=False)
    for head in range(weights.heads):
        for token in range(trace.attention[1].shape[2]):
            expected = literal_token_effect(weights, trace, 1, head, token, split)
            torch.testing.assert_close(effects[:, head, token], expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("split", ["equal", "centered"])
def test_projections_are_token_effects_along_a_direction_of_each_image(
    captured: tuple[TowerWeights, Trace], split: Split, normalize: bool
):
    weights, trace = captured
    directions = torch.randn(trace.images, weights.embed, dtype=torch.float64)
    options = {"split": split, "normalize": normalize}
    found = token_projections(weights, trace, 1, directions, **options)
    effects = token_effects(weights, trace, 1, **options)
    expected = (effects * directions[:, None, None]).sum(dim=-1)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("split", ["equal", "centered"])
def test_a_heads_effect_is_the_sum_over_its_tokens(
    captured: tuple[TowerWeights, Trace], split: Split, normalize: bool
):
    weights, trace = captured
    heads = head_effects(weights, trace, split=split, normalize=normalize)
    for layer in range(weights.layers):
        tokens = token_effects(weights, trace, layer, split=split, normalize=normalize)
        torch.testing.assert_close(heads[:, layer], tokens.sum(dim=2), rtol=1e-10, atol=1e-12)


def test_centered_effects_ignore_what_ln_post_takes_away(captured: tuple[TowerWeights, Trace]):
    """A constant added to everything an MLP writes changes the mean alone."""
    weights, trace = captured
    outputs = {layer: written + 7 for layer, written in trace.mlp_outputs.items()}
    shifted = replace(trace, mlp_outputs=outputs)
    before = mlp_effects(weights, trace, split="centered")
    torch.testing.assert_close(mlp_effects(weights, shifted, split="centered"), before)


def test_no_bias_effect_remains_in_the_equal_split(captured: tuple[TowerWeights, Trace]):
    weights, trace = captured
    assert not bias_effects(weights, trace, split="equal").any()
    assert bias_effects(weights, trace, split="centered").norm() > 0


def test_a_trace_without_first_order_fields_is_refused(captured: tuple[TowerWeights, Trace]):
    weights, trace = captured
    for lacking in (replace(trace, stem=None), replace(trace, normalized={})):
        for effects in (head_effects, mlp_effects, stem_effects, bias_effects):
            with pytest.raises(ValueError, match="capture it again with first_order=True"):
                effects(weights, lacking)


def test_unknown_layers_and_splits_are_refused(captured: tuple[TowerWeights, Trace]):
    weights, trace = captured
    for layer in (-1, 3):
        with pytest.raises(ValueError, match="layers 0 to 2"):
            token_effects(weights, trace, layer)
    with pytest.raises(ValueError, match="unknown split 'half'"):
        unwrap(head_effects)(weights, trace, split="half")


def test_the_equal_split_is_what_the_authors_compute(parity: Path):
    tower = authors_tower(parity, torch.float64)
    pixels = torch.from_numpy(np.load(parity / "images.npz")["train_pixels"][:4]).double()
    weights, trace = plain_weights(tower), plain_trace(tower, pixels)
    theirs = np.load(parity / "hooks.npz")
    for layer in range(4):
        tokens = rearrange(token_effects(weights, trace, layer), "i head token d -> i token head d")
        assert_allclose(100 * tokens, theirs["first_order_attn"][:, layer], rtol=1e-4, atol=2e-6)
    stem, mlps = stem_effects(weights, trace), mlp_effects(weights, trace)
    ours = torch.cat([stem[:, None], mlps], dim=1)
    assert_allclose(100 * ours, theirs["first_order_mlp"], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("split", ["equal", "centered"])
def test_half_precision_gives_float32_effects_near_the_exact_ones(half, split):
    exact = tiny_tower().bfloat16().to(torch.float64)
    coarse = tiny_tower().bfloat16().to(half)
    pixels = random_pixels(exact)
    found = {
        tower: (tower_weights(tower), capture(tower, pixels.to(tower.proj), [], first_order=True))
        for tower in (exact, coarse)
    }
    for effects in (head_effects, mlp_effects, stem_effects, bias_effects):
        expected, ours = (effects(*found[tower], split=split) for tower in (exact, coarse))
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), expected, atol=0.02, rtol=0.05)
    tokens = [token_effects(*found[tower], 2, split=split) for tower in (exact, coarse)]
    torch.testing.assert_close(tokens[1].double(), tokens[0], atol=0.02, rtol=0.05)
