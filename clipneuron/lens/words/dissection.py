"""CLIP-Dissect's word for a neuron (Oikarinen and Weng, ICLR 2023): soft weighted pointwise mutual information.

P is the matrix of the model's own image-text similarities, softmax over texts of `SHARPNESS` times the cosine. B_k are
the `top` pictures of neuron k's highest activations; picture i of them belongs to it with probability p_i, which
falls linearly from 0.998 to 0.97 (both as in the authors' program):

    log p(t | B_k) = sum_i log(1 + p_i (P[i, t] - 1))
    soft WPMI(t, k) = log p(t | B_k) - log mean_k' p(t | B_k')
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

SHARPNESS = 10.0
FIRST, LAST = 0.998, 0.97
_LEAST = 1e-7
BLOCK = 128
"""Neurons at a time."""


def similarities(
    images: Float[Tensor, "image embed"], texts: Float[Tensor, "text embed"]
) -> Float[Tensor, "image text"]:
    """P, from unit embeddings."""
    return (SHARPNESS * images @ texts.T).softmax(dim=1)


def soft_wpmi(
    activations: Float[Tensor, "image neuron"], probabilities: Float[Tensor, "image text"], top: int
) -> Float[Tensor, "neuron text"]:
    """Soft WPMI of every neuron and text; raises ValueError for more top pictures than there are.

    Cost: neuron x top x text logarithms.
    """
    if not 1 <= top <= len(activations):
        raise ValueError(f"top is {top}: expected 1 to the {len(activations)} pictures")
    best = activations.topk(top, dim=0).indices.T
    starts = range(0, len(best), BLOCK)
    blocks = [_given(probabilities, best[start : start + BLOCK]) for start in starts]
    given = torch.cat(blocks)
    return given - (torch.logsumexp(given, 0) - torch.log(torch.tensor(float(len(given)))))


def _given(
    probabilities: Float[Tensor, "image text"], best: Int[Tensor, "neuron top"]
) -> Float[Tensor, "neuron text"]:
    """log p(t | B_k) of a block of neurons."""
    top = best.shape[1]
    total = probabilities.new_zeros(len(best), probabilities.shape[1])
    for place in range(top):
        belongs = FIRST - place / top * (FIRST - LAST)
        found = probabilities[best[:, place]]
        total += found.sub_(1).mul_(belongs).add_(1 + _LEAST).log_()
    return total
