"""TextSpan: texts whose span holds most of what an attention head writes (Gandelsman, Efros and Steinhardt 2024).

"Interpreting CLIP's Image Representation via Text-Based Decomposition" (arXiv:2310.05916, Sec. 4.1): of each head, take
the text along which its first-order effects vary most over pictures, take that direction out of effects and texts, and
go on. Here it is done on covariances, for all heads at once:

    S = sum over pictures of (c - mean)(c - mean)^T      of a head's effects c
    p_j = t_j^T S t_j                                    variance of a text that has lost what was chosen before

When q, the unit vector of the chosen text's new part, is taken out, S becomes (1 - q q^T) S (1 - q q^T), and with
a = t_j . q, b = t_j . S q, p_j becomes p_j - 2 a b + (q . S q) a^2: no effect and no text is changed.
"""

from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.lens.sparse.supports import STOPPED

_NOTHING = 1e-6
"""Of a head's variance: what is left below it is rounding."""


class Spans(NamedTuple):
    """The texts of heads, in the order in which they were chosen; `STOPPED` where nothing was left."""

    indices: Int[Tensor, "head place"]
    directions: Float[Tensor, "head place embed"]
    """Orthonormal: the part of each text that those before it do not have; 0 where nothing was left."""
    shares: Float[Tensor, "head place"]
    """Of the head's variance that lies along each direction."""


def covariances(
    effects: Float[Tensor, "image head embed"],
) -> Float[Tensor, "head embed embed"]:
    """S of every head."""
    centred = effects - effects.mean(0)
    return einsum(centred, centred, "image head one, image head other -> head one other")


@torch.no_grad()
def spans(
    covariance: Float[Tensor, "head embed embed"],
    texts: Float[Tensor, "text embed"],
    count: int,
    *,
    block: int = 8,
) -> Spans:
    """At most `count` texts of each head, `block` heads at a time; texts as given, usually of unit norm.

    Memory is that of [block, text, embed] products. Raises ValueError for a count that is none.
    """
    if count < 1:
        raise ValueError(f"count is {count}: expected at least one text per head")
    parts = [_spans(part, texts, count) for part in torch.split(covariance, block)]
    return Spans(*map(torch.cat, zip(*parts, strict=True)))


def _spans(covariance: Tensor, texts: Tensor, count: int) -> Spans:
    heads, embed = covariance.shape[:2]
    whole = covariance.diagonal(dim1=1, dim2=2).sum(1)
    varies = ((texts @ covariance) * texts).sum(-1)  # [head, text]
    indices = torch.full((heads, count), STOPPED, device=texts.device)
    directions, shares = texts.new_zeros(heads, count, embed), texts.new_zeros(heads, count)
    going = whole > 0
    for place in range(min(count, embed, len(texts))):
        most, index = varies.max(dim=1)
        unit, height = _new_part(texts[index], directions[:, :place])
        going = going & (most > _NOTHING * whole) & (height > _NOTHING)
        unit = unit * going[:, None]
        along = einsum(covariance, unit, "head one other, head other -> head one")
        variance = (along * unit).sum(1)
        indices[:, place] = torch.where(going, index, STOPPED)
        directions[:, place] = unit
        shares[:, place] = variance / torch.where(whole > 0, whole, 1)
        first, second = unit @ texts.T, along @ texts.T
        varies += variance[:, None] * first.square() - 2 * first * second
        varies.scatter_(1, index[:, None], -torch.inf)
        crossed = along[:, :, None] * unit[:, None]
        both = unit[:, :, None] * unit[:, None]
        covariance = covariance - crossed - crossed.mT + variance[:, None, None] * both
        if not going.any():
            break
    return Spans(indices, directions, shares)


def _new_part(chosen: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """The unit vector of what the chosen texts have beyond the directions before them; its share of their length."""
    left = chosen
    for _ in range(2):  # once would leave roundings
        left = left - ((left[:, None] @ before.mT) @ before)[:, 0]
    height = left.norm(dim=1)
    return left / height.clamp(min=1e-12)[:, None], height / chosen.norm(dim=1).clamp(min=1e-12)


def span_scores(
    effects: Float[Tensor, "image head embed"],
    found: Spans,
    offsets: Float[Tensor, "head place"],
    texts: int,
) -> Float[Tensor, "image text"]:
    """How much of each text a picture's heads write beyond their means: sums over the heads that have it.

    `offsets` are the mean effects along the directions. Ours: the paper ranks pictures by a head's text and texts by
    a head's variance, and sums nothing over heads for one picture.
    """
    amounts = einsum(
        effects, found.directions, "image head embed, head place embed -> image head place"
    )
    amounts = (amounts - offsets).flatten(1)
    used = (found.indices != STOPPED).flatten()
    scores = effects.new_zeros(len(effects), texts)
    return scores.index_add_(1, found.indices.flatten()[used], amounts[:, used])
