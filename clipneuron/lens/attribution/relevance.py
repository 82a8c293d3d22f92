"""Relevance: the output's score, handed down layer by layer without loss (LRP).

The rules are those of Chefer, Gur and Wolf 2021 (arXiv:2012.09838, Sec. 3.1 and 3.2), for every method that needs
relevance. R is what a layer's output is given, and its inputs share it:

  linear     by positive contributions alone (z+ of deep Taylor decomposition, Montavon et al. 2017; alpha-1-beta-0 of
             Bach et al. 2015): R_j = sum_i [x_j w_ji]^+ / sum_j' [x_j' w_j'i]^+ R_i. Biases get nothing. LayerScale
             is part of the weights. At the top, P and the text are one such layer, whose output has R = 1.
  product    of two tensors that both depend on the picture (attention with values, queries with keys): by
             contributions of either sign, R_j = sum_i z_ji / z_i R_i, and half to each factor.
  sum        of two branches (residuals; patches and positions): x / (x + y) R and y / (x + y) R, each then scaled
             so that over the picture they share R in proportion to the absolute values of their sums.
  the rest   softmax, LayerNorm (ln_pre and ln_post, too), QuickGELU, GELU: R passes as it is.

So the relevance of all tokens that enter a block adds up to 1, but for what goes to outputs without any positive
contribution, of which there are none at the widths of real models. A z+ rule costs three products where the forward
pass has one: with z+ = (z + |z|) / 2, sum_j [x_j w_ji]^+ = (x w + |x| |w|) / 2, and x w is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from clipneuron.lens.attribution.records import BlockLinears, BlockRecord, Linear, Record, Stem


@dataclass(frozen=True)
class Relevance:
    """What relevance reached.

    attention: layer -> of each attention weight [image head query token].
    tokens: of what enters the first block, if it got so far.
    patches: of the patches' pixels, if it got so far: what positions and the class embedding do not get.
    """

    attention: Mapping[int, Float[Tensor, "image head _query token"]]
    tokens: Float[Tensor, "image token width"] | None = None
    patches: Float[Tensor, "image patch"] | None = None


def relevance(
    record: Record,
    linears: Sequence[BlockLinears],
    heads: Float[Tensor, "image width"],
    first: int,
) -> Relevance:
    """The relevance of attention in the blocks from `first` on, and of tokens and patches if `first` is 0.

    `heads` is P t for each picture's text t, with which the score is linear in the class token after ln_post.
    """
    attention: dict[int, Tensor] = {}
    positive = (record.normed * heads).clamp(min=0)
    given = _over(positive, positive.sum(dim=1, keepdim=True))[:, None]
    for layer in range(len(linears) - 1, first - 1, -1):
        block, here = record.blocks[layer], linears[layer]
        queries = block.leaving.shape[1]
        given = pad(given, (0, 0, 0, queries - given.shape[1]))
        middle, mixing = _through_mlp(block, here, given)
        attention[layer], scale = _to_attention(block, mixing)
        if layer > first or first == 0:
            given = _through_heads(block, here, middle, attention[layer], scale)
    if first > 0:
        return Relevance(attention)
    assert record.stem is not None
    return Relevance(attention, given, _to_patches(record.stem, given))


def _through_mlp(
    block: BlockRecord, linears: BlockLinears, given: Float[Tensor, "image query width"]
) -> tuple[Float[Tensor, "image query width"], Float[Tensor, "image query width"]]:
    """From what leaves a block: the residual's share of what entered it, and `mixed`'s relevance over its value."""
    middle, written = _shares(block.middle, block.written, given)
    active = block.activations * _ratio(linears.down, block.activations, block.written, written)
    middle = middle + block.normed_2 * _ratio(linears.up, block.normed_2, block.hidden, active)
    entering, attended = _shares(block.entering[:, : middle.shape[1]], block.attended, middle)
    return entering, _ratio(linears.output, block.mixed, block.attended, attended)


def _to_attention(
    block: BlockRecord, mixing: Float[Tensor, "image query width"]
) -> tuple[Float[Tensor, "image head query token"], Float[Tensor, "image head query channel"]]:
    """The relevance of attention weights, and of each head's mixed values over their value.

    `mixed` divides out: it is given x times a ratio by W_O's rule, and this one divides by x.
    """
    ratios = rearrange(mixing, "i q (h c) -> i h q c", h=block.query.shape[1])
    return block.attention * (ratios @ block.value.mT) / 2, ratios


def _through_heads(
    block: BlockRecord,
    linears: BlockLinears,
    residual: Float[Tensor, "image query width"],
    attention: Float[Tensor, "image head query token"],
    ratios: Float[Tensor, "image head query channel"],
) -> Float[Tensor, "image token width"]:
    """The relevance of all tokens that enter a block."""
    scale = block.query.shape[-1] ** -0.5
    scores = scale * (block.query @ block.key.mT)
    shared = _over(attention, scores) * (scale / 2)
    query = block.query * (shared @ block.key)
    key = block.key * (shared.mT @ block.query)
    value = block.value * (block.attention.mT @ ratios) / 2
    queries = residual.shape[1]
    normed = block.normed_1
    asking = normed[:, :queries] * _ratio(
        linears.query, normed[:, :queries], _merged(block.query), _merged(query)
    )
    read = torch.cat([_merged(block.key), _merged(block.value)], dim=-1)
    given = torch.cat([_merged(key), _merged(value)], dim=-1)
    answering = normed * _ratio(linears.key_value, normed, read, given)
    return answering + pad(residual + asking, (0, 0, 0, normed.shape[1] - queries))


def _to_patches(
    stem: Stem, given: Float[Tensor, "image token width"]
) -> Float[Tensor, "image patch"]:
    embedded, _ = _shares(stem.embedded, stem.positions.expand_as(given), given)
    return embedded[:, 1:].sum(dim=-1)


def _ratio(
    linear: Linear,
    inputs: Float[Tensor, "image row input"],
    outputs: Float[Tensor, "image row output"],
    given: Float[Tensor, "image row output"],
) -> Float[Tensor, "image row input"]:
    """The inputs' relevance over the inputs by the z+ rule, finite where an input is zero."""
    sizes = linear.weight.abs()
    # twice the positive contributions, as the two products below are twice what each input adds to them
    positive = (outputs - linear.bias).add_(inputs.abs() @ sizes).clamp_(min=0)
    shared = _over(given, positive)
    return (shared @ linear.weight.T).add_((shared @ sizes.T).mul_(inputs.sign()))


def _shares(
    first: Float[Tensor, "image token width"],
    second: Float[Tensor, "image token width"],
    given: Float[Tensor, "image token width"],
) -> tuple[Float[Tensor, "image token width"], Float[Tensor, "image token width"]]:
    """The relevance of the two summands of a sum."""
    shared = _over(given, first + second)
    parts = first * shared, second * shared
    sums = [part.sum(dim=(1, 2), keepdim=True) for part in parts]
    total = given.sum(dim=(1, 2), keepdim=True)
    whole = sums[0].abs() + sums[1].abs()
    one, two = (
        part * _over(own.sign() * total, whole) for part, own in zip(parts, sums, strict=True)
    )
    return one, two


def _merged(tokens: Float[Tensor, "image head row channel"]) -> Float[Tensor, "image row width"]:
    return rearrange(tokens, "i h t c -> i t (h c)")


def _over(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, and 0 where there is nothing to share by."""
    return (part / whole).masked_fill_(whole == 0, 0)
