"""The paths out of an MLP layer: where they lead, how much each image sends through them, and the shared remainder.

A path is one (later layer, head); see `clipneuron.lens.effects` for the formulas.
"""

from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.options import Split
from clipneuron.lens.trace import TowerWeights, Trace


def centre(vectors: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
    """C x: the vectors without their mean over the width."""
    return vectors - vectors.mean(dim=-1, keepdim=True)


@dataclass(frozen=True)
class PathMatrices:
    """W_V and W_O of every path out of one MLP layer, with both layer norms' gammas and P folded in."""

    read: Float[Tensor, "path channel width"]
    write: Float[Tensor, "path channel embed"]

    def send(self, vectors: Float[Tensor, "vector width"]) -> Float[Tensor, "vector path embed"]:
        """Where each residual-stream vector lands in the joint space through each path."""
        values = einsum(
            self.read, vectors, "path channel width, vector width -> path vector channel"
        )
        return rearrange(values @ self.write, "path vector embed -> vector path embed")


def path_matrices(weights: TowerWeights, layer: int, split: Split) -> PathMatrices:
    """The path matrices of one layer; `centered` centres what is read and what is written."""
    later = weights.blocks[layer + 1 :]
    read = torch.cat([block.value * block.ln_1_gamma for block in later])
    write = torch.cat([block.output for block in later])
    if split == "centered":
        read, write = centre(read), centre(write)
    return PathMatrices(read, (write * weights.ln_post_gamma) @ weights.projection)


def path_attention(
    weights: TowerWeights, trace: Trace, layer: int, normalize: bool
) -> Float[Tensor, "image path token"]:
    """a_i / (sigma_i sigma_post) for every path, divided by |M_image(I)| when `normalize`."""
    rows = [
        trace.attention[later] / trace.ln_1[later].sigma[:, None, :]
        for later in range(layer + 1, weights.layers)
    ]
    return torch.cat(rows, dim=1) * image_scale(trace, normalize)[:, None, None]


def image_scale(trace: Trace, normalize: bool) -> Float[Tensor, "image"]:
    """1 / sigma_post, divided by |M_image(I)| when `normalize`."""
    scale = 1 / trace.ln_post.sigma
    return scale / trace.embeddings.to(scale).norm(dim=-1) if normalize else scale


@dataclass(frozen=True)
class RemainderTerms:
    """The equal split's shares of the terms that belong to no neuron: Eq. 8-11, constants as in the authors' code.

    Per path: the MLP's output bias over N, and ln_1's mean over (1 + 2 l') N. Then one vector for everything that is
    scaled by sigma_post alone (beta, b_V over (1 + 2 l') N, b_O over (1 + 2 l') H N), one for ln_post's mean and one
    for its beta (both over (1 + 2 l')(1 + 2 L) H N per path).
    """

    basis: Float[Tensor, "term embed"]

    @classmethod
    def of(cls, weights: TowerWeights, layer: int) -> "RemainderTerms":
        """The terms of one layer."""
        later = range(layer + 1, weights.layers)
        paths = path_matrices(weights, layer, "equal")
        shares = paths.read.new_tensor(
            [1.0 / ((1 + 2 * index) * weights.neurons) for index in later]
        )
        per_path = shares.repeat_interleave(weights.heads)[:, None]
        ones = torch.ones_like(weights.ln_post_gamma)
        bias, mean = paths.send(torch.stack([weights.blocks[layer].neuron_bias, ones]))
        post = weights.ln_post_gamma * weights.projection.T
        at_post = shares.sum() / (1 + 2 * weights.layers)
        tail = torch.stack(
            [
                _constants(weights, layer, paths, shares),
                -at_post * post.sum(dim=-1),
                at_post * weights.ln_post_beta @ weights.projection,
            ]
        )
        return cls(torch.cat([bias / weights.neurons, -per_path * mean, tail]))

    def values(
        self, weights: TowerWeights, trace: Trace, layer: int, normalize: bool
    ) -> Float[Tensor, "image term"]:
        """The coefficient of each term for each image."""
        attention = path_attention(weights, trace, layer, normalize)
        means = torch.cat(
            [
                trace.ln_1[later].mean[:, None, :].expand(-1, weights.heads, -1)
                for later in range(layer + 1, weights.layers)
            ],
            dim=1,
        )
        scale = image_scale(trace, normalize)
        tail = torch.stack([scale, scale * trace.ln_post.mean, scale * trace.ln_post.sigma], dim=-1)
        return torch.cat([attention.sum(-1), (attention * means).sum(-1), tail], dim=-1)


def _constants(
    weights: TowerWeights, layer: int, paths: PathMatrices, shares: Float[Tensor, "later"]
) -> Float[Tensor, "embed"]:
    """The shares of ln_1's beta, b_V and b_O, sent through all paths at once: attention sums to one."""
    blocks = weights.blocks[layer + 1 :]
    values = torch.cat([block.value @ block.ln_1_beta + block.value_bias for block in blocks])
    per_path = shares.repeat_interleave(weights.heads)
    through_heads = einsum(
        per_path, values, paths.write, "path, path channel, path channel embed -> embed"
    )
    biases = torch.stack([block.output_bias for block in blocks]) * weights.ln_post_gamma
    return through_heads + shares @ biases @ weights.projection
