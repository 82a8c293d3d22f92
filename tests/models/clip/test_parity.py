"""Against the authors' own program and a trained tower, where that material lies beside the project."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.transformer import LayerNorm, VisionTransformer
from safetensors.torch import load_file

from clipneuron.models.clip.capture import capture
from tests.samples.towers import authors_tower, random_pixels

DATA = Path(__file__).parents[4] / "shared" / "data"


def need(folder):
    if not (DATA / folder).is_dir():
        pytest.skip(f"{folder} is not beside the project (../shared/data)")
    return DATA / folder


@pytest.fixture(scope="module")
def hooks(parity):
    return np.load(parity / "hooks.npz")


@pytest.fixture(scope="module")
def trace(parity):
    pixels = torch.from_numpy(np.load(parity / "images.npz")["train_pixels"][:4])
    return capture(authors_tower(parity), pixels, range(4), first_order=True)


def close(ours, theirs, **tolerance):
    np.testing.assert_allclose(ours.numpy(), theirs, **tolerance)


def test_embeddings_are_theirs(trace, hooks):
    close(trace.embeddings, hooks["representation"], atol=2e-6, rtol=1e-5)


def test_activations_are_theirs(trace, hooks):
    for layer, ours in trace.activations.items():
        close(ours, hooks["post_gelu"][:, layer], atol=1e-5)


def test_attention_is_theirs(trace, hooks):
    for layer, ours in trace.attention.items():
        close(ours, hooks["attn_maps"][:, layer, :, 0], atol=1e-6)


def test_layer_norm_statistics_are_theirs(trace, hooks):
    for layer, ours in trace.ln_1.items():
        close(ours.mean, hooks["ln_1_mean"][:, layer, :, 0], atol=1e-6)
        close(ours.sigma, hooks["ln_1_std"][:, layer, :, 0], rtol=1e-5)
    close(trace.ln_post.mean, hooks["ln_post_mean"][:, 0], atol=1e-6)
    close(trace.ln_post.sigma, hooks["ln_post_std"][:, 0], rtol=1e-5)


def test_a_trained_towers_trace_is_its_own():
    folder = need("vit_tiny_in1k")
    tower = VisionTransformer(
        image_size=224,
        patch_size=16,
        width=192,
        layers=12,
        heads=3,
        mlp_ratio=4.0,
        output_dim=192,
        no_ln_pre=True,
        norm_layer=partial(LayerNorm, eps=1e-6),
    ).eval()
    tower.load_state_dict(load_file(folder / "visual.safetensors"))
    pixels = random_pixels(tower, 2)
    with torch.no_grad():
        expected = tower(pixels)
    trace = capture(tower, pixels, range(11), first_order=True)
    close(trace.embeddings, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(capture(tower, pixels, [11]).embeddings, expected)
    for layer, block in enumerate(tower.transformer.resblocks):
        tokens = trace.normalized[layer]
        with torch.no_grad():
            _, rows = block.attn(tokens, tokens, tokens, average_attn_weights=False)
        torch.testing.assert_close(trace.attention[layer], rows[:, :, 0], atol=1e-5, rtol=1e-4)
