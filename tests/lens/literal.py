"""The formulas as they are printed, in slow loops: the oracles of the tests of the lens.

Nothing here is clever. `literal_effects` is Eq. 11, a loop over (later layer, head, token), with the neurons side by
side, none of which enters another's term;
`plain_weights` and `plain_trace` read an open_clip VisionTransformer without hooks, by writing its
forward pass out line by line. Use float64 and towers of a few neurons.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clipneuron.lens.trace import BlockWeights, LayerNormScale, TowerWeights, Trace

Split = Literal["centered", "equal"]


def literal_effects(
    weights: TowerWeights,
    trace: Trace,
    layer: int,
    split: Split = "centered",
    normalize: bool = False,
    neurons: Sequence[int] | None = None,
) -> Tensor:
    """phi_n(I) of Eq. 11, [image, neuron, embed]; `neurons` picks some of them, all by default.

    `normalize` divides by |M_image(I)|; the authors' program multiplies by 100 on top of that.
    """
    return literal_path_effects(weights, trace, layer, split, normalize, neurons).sum(dim=(0, 1))


def literal_path_effects(
    weights: TowerWeights,
    trace: Trace,
    layer: int,
    split: Split = "centered",
    normalize: bool = False,
    neurons: Sequence[int] | None = None,
) -> Tensor:
    """The terms of phi_n(I), one for each later head: [later layer, head, image, neuron, embed]."""
    term = {"centered": _centered_term, "equal": _equal_term}[split]
    chosen = list(range(weights.neurons) if neurons is None else neurons)
    layers = []
    for later in range(layer + 1, weights.layers):
        heads = [term(weights, trace, layer, later, head, chosen) for head in range(weights.heads)]
        layers.append(torch.stack(heads))
    effects = torch.stack(layers)
    if normalize:
        effects = effects / trace.embeddings.norm(dim=1)[:, None, None]
    return effects


def _centered_term(
    weights: TowerWeights, trace: Trace, layer: int, later: int, head: int, neurons: list[int]
) -> Tensor:
    """P LN_post(W_O^h sum_i a_i W_V^h LN_1(p_i w_n)), every mean being that of the vector itself.

    [image, neuron, embed]. The biases belong to no neuron in this split and do not appear.
    """
    block = weights.blocks[later]
    writes = weights.blocks[layer].neuron_writes[neurons]
    attended = trace.embeddings.new_zeros(trace.images, len(neurons), block.value.shape[1])
    for token in range(trace.activations[layer].shape[1]):
        message = trace.activations[layer][:, token][:, neurons, None] * writes
        centered = message - message.mean(dim=-1, keepdim=True)
        normed = block.ln_1_gamma * centered / trace.ln_1[later].sigma[:, token, None, None]
        value = normed @ block.value[head].T
        attended = attended + trace.attention[later][:, head, token, None, None] * value
    written = attended @ block.output[head]
    centered = written - written.mean(dim=-1, keepdim=True)
    sigma = trace.ln_post.sigma[:, None, None]
    return (weights.ln_post_gamma * centered / sigma) @ weights.projection


def _equal_term(
    weights: TowerWeights, trace: Trace, layer: int, later: int, head: int, neurons: list[int]
) -> Tensor:
    """The same path with every mean and bias of the whole residual shared out equally.

    [image, neuron, embed]. The shares: the MLP's bias over N; the mean and beta of ln_1 and b_V over
    (1 + 2l')N; b_O over (1 + 2l')HN; the mean and beta of ln_post over (1 + 2l')(1 + 2L)HN.
    """
    source, block = weights.blocks[layer], weights.blocks[later]
    count, heads, layers = weights.neurons, weights.heads, weights.layers
    before = (1 + 2 * later) * count
    everything = (1 + 2 * later) * (1 + 2 * layers) * heads * count
    attended = trace.embeddings.new_zeros(trace.images, len(neurons), block.value.shape[1])
    for token in range(trace.activations[layer].shape[1]):
        activations = trace.activations[layer][:, token][:, neurons, None]
        message = activations * source.neuron_writes[neurons] + source.neuron_bias / count
        mean = trace.ln_1[later].mean[:, token, None, None]
        sigma = trace.ln_1[later].sigma[:, token, None, None]
        normed = block.ln_1_gamma * (message - mean / before) / sigma + block.ln_1_beta / before
        value = normed @ block.value[head].T + block.value_bias[head] / before
        attended = attended + trace.attention[later][:, head, token, None, None] * value
    written = attended @ block.output[head] + block.output_bias / (before * heads)
    mean, sigma = trace.ln_post.mean[:, None, None], trace.ln_post.sigma[:, None, None]
    normed = weights.ln_post_gamma * (written - mean / everything) / sigma
    return (normed + weights.ln_post_beta / everything) @ weights.projection


def plain_weights(visual: Any) -> TowerWeights:
    """The weights of an open_clip VisionTransformer, read off module by module."""
    return TowerWeights(
        blocks=[_plain_block(block) for block in visual.transformer.resblocks],
        ln_post_gamma=visual.ln_post.weight.detach(),
        ln_post_beta=visual.ln_post.bias.detach(),
        projection=visual.proj.detach(),
    )


def _plain_block(block: Any) -> BlockWeights:
    width, heads = block.attn.embed_dim, block.attn.num_heads
    scale_1, scale_2 = _layer_scale(block.ls_1), _layer_scale(block.ls_2)
    value_rows = block.attn.in_proj_weight.detach()[2 * width :]
    output_rows = (scale_1 * block.attn.out_proj.weight.detach().T).contiguous()
    return BlockWeights(
        ln_1_gamma=block.ln_1.weight.detach(),
        ln_1_beta=block.ln_1.bias.detach(),
        value=value_rows.reshape(heads, width // heads, width),
        value_bias=block.attn.in_proj_bias.detach()[2 * width :].reshape(heads, width // heads),
        output=output_rows.reshape(heads, width // heads, width),
        output_bias=scale_1 * block.attn.out_proj.bias.detach(),
        neuron_writes=scale_2 * block.mlp.c_proj.weight.detach().T,
        neuron_bias=scale_2 * block.mlp.c_proj.bias.detach(),
    )


def _layer_scale(module: nn.Module) -> Tensor:
    return getattr(module, "gamma", torch.ones(())).detach()


@torch.no_grad()
def plain_trace(visual: Any, pixels: Tensor) -> Trace:
    """The full trace of a batch of pictures, every layer and every field, without hooks."""
    residual = visual._embeds(pixels)
    stem = residual[:, 0]
    activations, attention, ln_1, normalized, mlp_outputs = {}, {}, {}, {}, {}
    for layer, block in enumerate(visual.transformer.resblocks):
        ln_1[layer] = _statistics(residual, block.ln_1.eps)
        normalized[layer] = block.ln_1(residual)
        attended, maps = _attend(block.attn, normalized[layer])
        attention[layer] = maps[:, :, 0]
        residual = residual + block.ls_1(attended)
        activations[layer] = block.mlp.gelu(block.mlp.c_fc(block.ln_2(residual)))
        message = block.ls_2(block.mlp.c_proj(activations[layer]))
        mlp_outputs[layer] = message[:, 0]
        residual = residual + message
    return Trace(
        embeddings=visual.ln_post(residual[:, 0]) @ visual.proj,
        ln_post=_statistics(residual[:, 0], visual.ln_post.eps),
        activations=activations,
        attention=attention,
        ln_1=ln_1,
        normalized=normalized,
        mlp_outputs=mlp_outputs,
        stem=stem,
    )


def _attend(attention: nn.MultiheadAttention, normed: Tensor) -> tuple[Tensor, Tensor]:
    """What softmax attention returns and its maps [image, head, query, key]."""
    images, tokens, width = normed.shape
    heads = attention.num_heads
    projected = normed @ attention.in_proj_weight.T + attention.in_proj_bias
    query, key, value = (
        part.reshape(images, tokens, heads, width // heads).transpose(1, 2)
        for part in projected.split(width, dim=2)
    )
    maps = (query @ key.transpose(2, 3) / math.sqrt(width // heads)).softmax(dim=3)
    mixed = (maps @ value).transpose(1, 2).reshape(images, tokens, width)
    return attention.out_proj(mixed), maps


def _statistics(residual: Tensor, eps: float) -> LayerNormScale:
    variance = residual.var(dim=-1, correction=0)
    return LayerNormScale(mean=residual.mean(dim=-1), sigma=(variance + eps).sqrt())
