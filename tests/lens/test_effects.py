"""The factorised effects against literal loops, in float64, over the towers that the method covers."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from open_clip.transformer import VisionTransformer
from torch.testing import assert_close

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.paths import centre
from clipneuron.lens.trace import TowerWeights, Trace
from clipneuron.models.clip.capture import capture
from clipneuron.models.clip.towers import tower_weights
from tests.lens.literal import literal_effects, plain_trace, plain_weights
from tests.samples.towers import authors_tower, random_pixels, tiny_tower

SPLITS = ("equal", "centered")
TOWERS = {
    "quick gelu": {},
    "gelu": {"quick_gelu": False},
    "no ln_pre": {"no_ln_pre": True},
    "layer scale": {"ls_init_value": 0.5},
    "two heads, five layers": {"heads": 2, "layers": 5},
    "more patches": {"image_size": 48},
}


@pytest.fixture(scope="module", params=TOWERS)
def case(request: pytest.FixtureRequest) -> tuple[VisionTransformer, TowerWeights, Trace]:
    options = {"layers": 3, "width": 16, "embed": 12, "mlp_ratio": 2.0, **TOWERS[request.param]}
    tower = tiny_tower(**options)
    return tower, plain_weights(tower), plain_trace(tower, random_pixels(tower, 3))


def lens_of(weights: TowerWeights, layer: int, **options) -> SecondOrderLens:
    return SecondOrderLens(SimpleNamespace(weights=weights), layer, **options)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.slow
def test_effects_equal_the_literal_loops(case, split):
    _, weights, trace = case
    for layer in (0, weights.layers - 2):
        literal = literal_effects(weights, trace, layer, split)
        lengths = trace.embeddings.norm(dim=1)[:, None, None]
        for normalize, expected in ((False, literal), (True, literal / lengths)):
            lens = lens_of(weights, layer, split=split, normalize=normalize)
            assert_close(lens.effects(trace), expected, rtol=1e-10, atol=1e-13)
            assert_close(lens.effects(trace, [3, 1]), expected[:, [3, 1]], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("split", SPLITS)
def test_sums_of_coefficients_are_those_of_the_coefficients(case, split, monkeypatch):
    _, weights, trace = case
    monkeypatch.setattr("clipneuron.lens.effects.IN_CACHE", 16)  # several blocks
    for layer in (0, weights.layers - 2):
        lens = lens_of(weights, layer, split=split)
        assert torch.equal(lens.coefficient_sum(trace), lens.coefficients(trace).sum(0))


@pytest.mark.parametrize("split", SPLITS)
def test_gram_norms_equal_norms_of_materialised_effects(case, split):
    _, weights, trace = case
    lens = lens_of(weights, 0, split=split)
    assert_close(lens.norms(trace), lens.effects(trace).norm(dim=-1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("split", SPLITS)
def test_centred_norms_equal_norms_of_centred_effects(case, split):
    _, weights, trace = case
    lens = lens_of(weights, 1, split=split)
    effects = lens.effects(trace)
    coefficients = lens.coefficients(trace, lens.coefficients(trace).mean(0))
    remainders = lens.remainders(trace)
    norms = lens.norms_of(coefficients, remainders - remainders.mean(0))
    assert_close(norms, (effects - effects.mean(0)).norm(dim=-1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("split", SPLITS)
def test_the_layer_effect_is_the_sum_over_its_neurons(case, split):
    _, weights, trace = case
    lens = lens_of(weights, 0, split=split)
    assert_close(lens.layer_effect(trace), lens.effects(trace).sum(1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("normalize", [False, True])
def test_what_the_mlp_wrote_makes_the_same_layer_effect(case, split, normalize):
    tower, weights, _ = case
    pixels = random_pixels(tower, 3)
    for layer in range(weights.layers - 1):
        lens = lens_of(weights, layer, split=split, normalize=normalize)
        trace = capture(tower, pixels, [layer], writes=True)
        expected = lens.layer_effect(capture(tower, pixels, [layer]))
        assert_close(lens.layer_effect(trace), expected, rtol=1e-10, atol=1e-12)
        silent = replace(trace, activations={layer: torch.zeros_like(trace.activations[layer])})
        assert_close(lens.layer_effect(silent), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("split", SPLITS)
def test_what_half_precision_wrote_is_not_taken(split):
    """It was rounded with its bias; float32 is accumulated from the activations, bit for bit as without it."""
    half = tiny_tower(layers=3, width=16, embed=12, dtype=torch.bfloat16)
    pixels = random_pixels(half, 3)
    lens = lens_of(tower_weights(half), 0, split=split)
    with_writes = lens.layer_effect(capture(half, pixels, [0], writes=True))
    assert with_writes.dtype == torch.float32
    assert torch.equal(with_writes, lens.layer_effect(capture(half, pixels, [0])))


def test_neurons_and_bias_make_up_what_the_mlp_sent_through_later_heads(case):
    """Completeness, by pushing the MLP's true output through the later blocks' linear parts by hand."""
    _, weights, trace = case
    layer = 0
    lens = lens_of(weights, layer, split="centered", normalize=False)
    block = weights.blocks[layer]
    output = trace.activations[layer] @ block.neuron_writes + block.neuron_bias
    expected = torch.zeros_like(trace.embeddings)
    for later in range(layer + 1, weights.layers):
        here = weights.blocks[later]
        read = here.ln_1_gamma * centre(output) / trace.ln_1[later].sigma[..., None]
        for head in range(weights.heads):
            value = read @ here.value[head].T @ here.output[head]
            sent = (trace.attention[later][:, head, :, None] * value).sum(1)
            scaled = weights.ln_post_gamma * centre(sent) / trace.ln_post.sigma[:, None]
            expected += scaled @ weights.projection
    assert_close(
        lens.layer_effect(trace) + lens.bias_effect(trace), expected, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("split", SPLITS)
def test_a_half_precision_model_gives_float32_norms_close_to_the_exact_ones(split):
    exact = tiny_tower(layers=3, width=32, embed=12)
    half = tiny_tower(layers=3, width=32, embed=12, dtype=torch.bfloat16)
    pixels = random_pixels(exact, 4)
    reference = lens_of(plain_weights(exact), 0, split=split).norms(plain_trace(exact, pixels))
    weights, trace = tower_weights(half), capture(half, pixels.bfloat16(), [0])
    norms = lens_of(weights, 0, split=split).norms(trace)
    assert norms.dtype == torch.float32
    assert ((norms - reference).abs() / reference.median()).median() < 0.02


def test_basis_of_chosen_neurons_is_part_of_the_whole(case):
    _, weights, _ = case
    lens = lens_of(weights, 0)
    assert_close(lens.basis([5, 2]), lens.basis()[[5, 2]], rtol=1e-12, atol=1e-14)
    assert lens.basis().shape == (weights.neurons, weights.paths(0), weights.embed)


@pytest.mark.parametrize(
    ("layer", "says"), [(7, "does not exist"), (-1, "does not exist"), (2, "last layer")]
)
def test_a_layer_without_second_order_effects_is_refused(layer, says):
    weights = plain_weights(tiny_tower(layers=3))
    with pytest.raises(ValueError, match=says):
        lens_of(weights, layer)


def test_an_unknown_split_is_refused():
    weights = plain_weights(tiny_tower(layers=2))
    with pytest.raises((ValueError, TypeCheckError)):  # the latter only where tests check types
        lens_of(weights, 0, split="even")


@pytest.fixture(scope="module")
def authors(parity):
    """The authors' tower, and our trace of their 64 pictures in float32."""
    tower = authors_tower(parity)
    pixels = torch.from_numpy(np.load(parity / "images.npz")["train_pixels"])
    return plain_weights(tower), plain_trace(tower, pixels)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_equal_split_is_what_the_authors_program_computes(authors, parity, layer):
    weights, trace = authors
    lens = lens_of(weights, layer, split="equal", normalize=True)
    theirs = torch.from_numpy(np.load(parity / "phi.npz")[f"phi_L{layer}"])
    size = theirs.norm(dim=-1, keepdim=True)
    assert ((lens.effects(trace) * 100 - theirs) / size).abs().max() < 1e-4
    assert_close(lens.norms(trace)[..., None] * 100, size, rtol=1e-4, atol=0)
