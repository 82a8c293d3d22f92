"""The oracle itself, against the authors' own program and open_clip's forward pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from open_clip.transformer import VisionTransformer

from tests.lens.literal import literal_effects, literal_path_effects, plain_trace, plain_weights
from tests.samples.towers import authors_tower


@pytest.fixture(scope="module")
def visual(parity: Path) -> VisionTransformer:
    return authors_tower(parity, torch.float64)


@pytest.fixture(scope="module")
def hooks(parity: Path) -> Any:
    return np.load(parity / "hooks.npz")


@pytest.fixture(scope="module")
def pixels(parity: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(parity / "images.npz")["train_pixels"][:4]).double()


def test_trace_is_the_forward_pass(visual: VisionTransformer, pixels: torch.Tensor, hooks: Any):
    trace = plain_trace(visual, pixels)
    with torch.no_grad():
        torch.testing.assert_close(trace.embeddings, visual(pixels), rtol=1e-10, atol=1e-12)
    assert_allclose(trace.embeddings, hooks["representation"], rtol=1e-4, atol=1e-6)
    assert_allclose(trace.ln_post.mean, hooks["ln_post_mean"][:, 0], rtol=1e-4, atol=1e-6)
    assert_allclose(trace.ln_post.sigma, hooks["ln_post_std"][:, 0], rtol=1e-4)
    for layer in range(4):
        assert_allclose(trace.attention[layer], hooks["attn_maps"][:, layer, :, 0], atol=1e-6)
        assert_allclose(trace.activations[layer], hooks["post_gelu"][:, layer], atol=1e-5)
        sigma = hooks["ln_1_std"][:, layer, :, 0]
        assert_allclose(trace.ln_1[layer].sigma, sigma, rtol=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_equal_split_is_what_the_authors_compute(
    visual: VisionTransformer, pixels: torch.Tensor, hooks: Any, parity: Path, layer: int
):
    chosen = range(0, 256, 16)
    weights, trace = plain_weights(visual), plain_trace(visual, pixels)
    terms = 100 * literal_path_effects(weights, trace, layer, "equal", True, chosen)
    assert_allclose(terms, hooks[f"phi_per_head_L{layer}"][:, :, :, chosen], atol=2e-6)
    effects = 100 * literal_effects(weights, trace, layer, "equal", True, chosen)
    phi = np.load(parity / "phi.npz")[f"phi_L{layer}"][:4, chosen]
    assert_allclose(effects, phi, atol=2e-6)
