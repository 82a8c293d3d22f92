"""Attribution by attention alone: the class is not asked, so that these maps are the same for every text."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.trace import Trace

START = 1
"""The first layer of rollouts, 0-based: Chefer et al. leave out the first block in theirs."""


def raw_attention(trace: Trace) -> Float[Tensor, "image patch"]:
    """mean over heads of a_i^{L-1,h}: how much the class token attends to each patch in the last block."""
    return trace.attention[max(trace.attention)].mean(dim=1)[:, 1:]


def rollout(
    attention: Mapping[int, Float[Tensor, "image head _query token"]], start: int = START
) -> Float[Tensor, "image patch"]:
    """The class token's row of B_{L-1} ... B_{start}, with B_l = (mean over heads of A_l + I) / 2.

    Attention flows through residuals as much as through heads (Abnar and Zuidema 2020, Sec. 3). The rows of B_l sum to
    one. Only the class token's row is ever needed, so that every layer costs a vector times a matrix.
    """
    layers = _downwards(attention, start)
    row = _class_token(attention[layers[0]][:, 0])
    for layer in layers:
        row = (row + _applied(row, attention[layer].mean(dim=1))) / 2
    return row[:, 1:]


def relevance_rollout(
    maps: Mapping[int, Float[Tensor, "image _query token"]], start: int = START
) -> Float[Tensor, "image patch"]:
    """The class token's row of (I + E_{L-1}) ... (I + E_{start}), not normalised (Chefer et al. 2021, Sec. 3.3)."""
    layers = _downwards(maps, start)
    row = _class_token(maps[layers[0]])
    for layer in layers:
        row = row + _applied(row, maps[layer])
    return row[:, 1:]


def _downwards(maps: Mapping[int, Tensor], start: int) -> list[int]:
    """Layers from the last to `start`; a tower of one block has this one alone."""
    last = max(maps)
    return list(range(last, min(start, last) - 1, -1))


def _class_token(maps: Float[Tensor, "image query token"]) -> Float[Tensor, "image token"]:
    row = torch.zeros_like(maps[:, 0])
    row[:, 0] = 1
    return row


def _applied(
    row: Float[Tensor, "image token"], maps: Float[Tensor, "image query token"]
) -> Float[Tensor, "image token"]:
    """The row times a layer's matrix, of which the last layer has the class token's row alone."""
    queries = maps.shape[1]
    return (row[:, None, :queries] @ maps)[:, 0]
