"""Non-negative least squares for many small problems at once, by block principal pivoting (Kim and Park 2011)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_FULL = 3
"""Full exchanges that may fail to lower the number of wrong variables before one variable is exchanged at a time."""
_ROUNDING = 1e-12
"""Of a weight or a gradient, relative to the largest of the problem: what is not below minus this is not negative."""


def nonnegative_weights(
    gram: Float[Tensor, "problem atom atom"], target: Float[Tensor, "problem atom"]
) -> Float[Tensor, "problem atom"]:
    """The x >= 0 that minimise |A x - b|, given AᵀA and Aᵀb; the columns of A are to be independent.

    >>> one = torch.eye(2, dtype=torch.float64)[None]
    >>> nonnegative_weights(one, torch.tensor([[3.0, -2.0]], dtype=torch.float64))
    tensor([[3., 0.]], dtype=torch.float64)
    """
    passive = target > 0
    wrong, weights = _wrong(gram, target, passive)
    fewest = torch.full_like(target[:, 0], target.shape[1] + 1, dtype=torch.long)
    left = torch.full_like(fewest, _FULL)
    while wrong.any():
        passive = passive ^ _exchanged(wrong, fewest, left)
        wrong, weights = _wrong(gram, target, passive)
    return weights.clamp(min=0)


def _exchanged(
    wrong: Bool[Tensor, "problem atom"],
    fewest: Int[Tensor, "problem"],
    left: Int[Tensor, "problem"],
) -> Bool[Tensor, "problem atom"]:
    """Which variables change sides; `fewest` wrong ones so far and full exchanges `left` are brought up to date."""
    count = wrong.sum(dim=1)
    better = count < fewest
    single = ~better & (left == 0)
    left.copy_(torch.where(better, _FULL, (left - 1).clamp(min=0)))
    fewest.copy_(fewest.minimum(count))
    # The last wrong variable alone: Murty's rule, which ends for certain.
    places = torch.arange(wrong.shape[1], device=wrong.device)
    last = places == torch.where(wrong, places, -1).max(dim=1, keepdim=True).values
    return wrong & (last | ~single[:, None])


def _wrong(
    gram: Tensor, target: Tensor, passive: Bool[Tensor, "problem atom"]
) -> tuple[Bool[Tensor, "problem atom"], Float[Tensor, "problem atom"]]:
    """The variables on the wrong side, and the weights with those of `passive` free and the others zero."""
    both = passive[:, :, None] & passive[:, None, :]
    system = gram.where(both, 0.0) + torch.diag_embed((~passive).to(gram))
    weights = torch.linalg.solve(system, target.where(passive, 0.0))
    gradient = (gram @ weights[:, :, None])[:, :, 0] - target
    scale = _ROUNDING * target.abs().amax(dim=1, keepdim=True)
    heaviest = _ROUNDING * weights.abs().amax(dim=1, keepdim=True)
    return torch.where(passive, weights < -heaviest, gradient < -scale), weights
