"""First-order (direct) effects: what heads, MLPs and the stem write straight to the output (Sec. 3.1).

The output is P LN_post(x_0), and the class token x_0 is a sum: the stem, plus what every attention
layer adds, plus what every MLP adds. With ln_post's sigma taken as it was, each addend lands linearly
in the joint space and the terms add up to M_image(I) (Gandelsman et al. 2024, Eq. 3; A.5 here):

    head_effects + mlp_effects + stem_effects + bias_effects  =  M_image(I)

Terms that belong to no addend are treated as in `clipneuron.lens.effects`:
  equal     ln_post's mean and beta are divided equally over the 1 + 2L addends, an attention layer's
            share and its output bias equally over its heads and tokens. No bias effect remains.
  centered  each addend is centred by itself; the attention layers' output biases and ln_post's beta
            are the bias effect.

Traces must have been captured with `first_order=True`. Results are in float32 or better, for models in
half precision too, whose weights are widened block by block.
"""

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.options import Split
from clipneuron.lens.paths import centre, image_scale
from clipneuron.lens.trace import TowerWeights, Trace


def head_effects(
    weights: TowerWeights, trace: Trace, *, split: Split = "equal", normalize: bool = True
) -> Float[Tensor, "image layer head embed"]:
    """What every head of every attention layer adds to the output, summed over tokens.

    sum_i a_i^{l,h} W_O^h (W_V^h LN_1(x_i) + b_V^h), landed by P LN_post.
    """
    _check(weights, trace, split)
    landing, scale = _landing(weights, trace, split), image_scale(trace, normalize)
    layers = []
    for layer, block in enumerate(weights.blocks):
        mixed = trace.attention[layer] @ trace.normalized[layer].to(scale)
        values = einsum(
            mixed,
            block.value.to(scale),
            "image head width, head channel width -> image head channel",
        )
        written = einsum(
            values + block.value_bias,
            block.output.to(scale),
            "image head channel, head channel width -> image head width",
        )
        effects = scale[:, None, None] * (written @ landing)
        if split == "equal":
            effects += _share(weights, trace, block.output_bias, scale)[:, None] / weights.heads
        layers.append(effects)
    return torch.stack(layers, dim=1)


def token_effects(
    weights: TowerWeights,
    trace: Trace,
    layer: int,
    *,
    split: Split = "equal",
    normalize: bool = True,
) -> Float[Tensor, "image head token embed"]:
    """One layer's `head_effects` before the sum over tokens: where in the picture each head reads."""
    _check(weights, trace, split)
    _check_layer(weights, layer)
    block, scale = weights.blocks[layer], image_scale(trace, normalize)
    values = einsum(
        trace.normalized[layer].to(scale),
        block.value.to(scale),
        "image token width, head channel width -> image head token channel",
    )
    values = (values + block.value_bias[:, None]) * trace.attention[layer][..., None]
    effects = values @ (block.output.to(scale) @ _landing(weights, trace, split))
    effects *= scale[:, None, None, None]
    if split == "equal":
        share = _share(weights, trace, block.output_bias, scale)
        effects += share[:, None, None] / (effects.shape[1] * effects.shape[2])
    return effects


def token_projections(
    weights: TowerWeights,
    trace: Trace,
    layer: int,
    directions: Float[Tensor, "image embed"],
    *,
    split: Split = "equal",
    normalize: bool = True,
) -> Float[Tensor, "image head token"]:
    """<`token_effects`, d> for a direction d of each image, at a fraction of their cost.

    d is taken back through W_O^h and W_V^h, so that no value of any token is computed: T W products per head and image.
    """
    _check(weights, trace, split)
    _check_layer(weights, layer)
    block, scale = weights.blocks[layer], image_scale(trace, normalize)
    along = directions.to(scale)
    writing = einsum(
        along @ _landing(weights, trace, split).T,
        block.output.to(scale),
        "image width, head channel width -> image head channel",
    )
    reading = einsum(
        writing, block.value.to(scale), "image head channel, head channel width -> image head width"
    )
    bias = einsum(
        writing, block.value_bias.to(scale), "image head channel, head channel -> image head"
    )
    found = reading @ trace.normalized[layer].to(scale).mT + bias[..., None]
    found = found * trace.attention[layer] * scale[:, None, None]
    if split == "equal":
        share = (_share(weights, trace, block.output_bias, scale) * along).sum(dim=-1)
        found = found + share[:, None, None] / (found.shape[1] * found.shape[2])
    return found


def mlp_effects(
    weights: TowerWeights, trace: Trace, *, split: Split = "equal", normalize: bool = True
) -> Float[Tensor, "image layer embed"]:
    """What every MLP adds to the output, including its output bias."""
    _check(weights, trace, split)
    written = torch.stack([trace.mlp_outputs[layer] for layer in range(weights.layers)], dim=1)
    return _landed(weights, trace, written, split, normalize)


def stem_effects(
    weights: TowerWeights, trace: Trace, *, split: Split = "equal", normalize: bool = True
) -> Float[Tensor, "image embed"]:
    """What the class token contributes as it enters the first block, before it has attended to the picture."""
    _check(weights, trace, split)
    assert trace.stem is not None
    return _landed(weights, trace, trace.stem[:, None], split, normalize)[:, 0]


def bias_effects(
    weights: TowerWeights, trace: Trace, *, split: Split = "equal", normalize: bool = True
) -> Float[Tensor, "image embed"]:
    """The attention layers' output biases and ln_post's beta in the joint space; zero in the equal split."""
    _check(weights, trace, split)
    scale = image_scale(trace, normalize)
    if split == "equal":
        return torch.zeros_like(trace.embeddings, dtype=scale.dtype)
    biases = torch.stack([block.output_bias.to(scale) for block in weights.blocks]).sum(dim=0)
    beta = weights.ln_post_beta.to(scale) @ weights.projection.to(scale)
    return torch.outer(scale, biases @ _landing(weights, trace, split)) + torch.outer(
        scale * trace.ln_post.sigma, beta
    )


def _landed(
    weights: TowerWeights, trace: Trace, written: Tensor, split: Split, normalize: bool
) -> Tensor:
    """Addends of the class token [image, addend, width], mapped into the joint space."""
    scale = image_scale(trace, normalize)
    effects = scale[:, None, None] * (written.to(scale) @ _landing(weights, trace, split))
    if split == "equal":
        no_bias = torch.zeros_like(weights.ln_post_beta)
        effects += _share(weights, trace, no_bias, scale)[:, None]
    return effects


def _landing(weights: TowerWeights, trace: Trace, split: Split) -> Tensor:
    """[C] diag(gamma_post) P, which maps a residual vector into the joint space up to sigma."""
    like = trace.ln_post.sigma
    landing = weights.ln_post_gamma.to(like)[:, None] * weights.projection.to(like)
    return centre(landing.T).T if split == "centered" else landing


def _share(weights: TowerWeights, trace: Trace, bias: Tensor, scale: Tensor) -> Tensor:
    """One addend's equal share of ln_post's mean and beta, with its own bias [image, embed]."""
    addends = 1 + 2 * weights.layers
    gamma = weights.ln_post_gamma.to(scale)
    constant = bias * gamma - torch.outer(trace.ln_post.mean / addends, gamma)
    beta = torch.outer(trace.ln_post.sigma / addends, weights.ln_post_beta.to(scale))
    return scale[:, None] * ((constant + beta) @ weights.projection.to(scale))


def _check(weights: TowerWeights, trace: Trace, split: str) -> None:
    if split not in ("equal", "centered"):
        raise ValueError(f"unknown split {split!r}: expected 'equal' or 'centered'")
    kept = (trace.attention, trace.normalized, trace.mlp_outputs)
    complete = all(layer in values for values in kept for layer in range(weights.layers))
    if trace.stem is None or not complete:
        raise ValueError(
            f"the trace lacks what first-order effects need of all {weights.layers} layers; "
            "capture it again with first_order=True"
        )


def _check_layer(weights: TowerWeights, layer: int) -> None:
    if not 0 <= layer < weights.layers:
        raise ValueError(
            f"layer {layer} does not exist: this tower has layers 0 to {weights.layers - 1} (0-based)"
        )
