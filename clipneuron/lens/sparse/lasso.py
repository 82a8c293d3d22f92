"""Non-negative lasso for many targets at once, solved exactly: an active set grows by the text that violates most.

    w = argmin over w >= 0 of  1/2 |z - sum_j w_j t_j|^2 + penalty sum_j w_j

With texts of unit norm a text has weight only if its product with the residual reaches the penalty. On a given support
this is non-negative least squares with T^T z - penalty in place of T^T z. Each step adds the text whose product with
the residual exceeds the penalty most, and solves the support anew; where none exceeds it, the weights are optimal
(Karush-Kuhn-Tucker). SpLiCE's problem (Bhalla et al. 2024, arXiv:2402.10376, Sec. 3) is this one; scikit-learn's
`Lasso(positive=True)` divides the square by the number of dimensions, so that its alpha is the penalty over that.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.lens.sparse.nonnegative import nonnegative_weights
from clipneuron.lens.sparse.search import searched
from clipneuron.lens.sparse.supports import STOPPED

_SLACK = 1e-5
"""Of the penalty: by how much a product may exceed it and count as equal, since products are those of float32."""


class Lasso(NamedTuple):
    """Sparse sums, the texts of largest weight first; `STOPPED` and weight 0 beyond the texts of a target."""

    indices: Int[Tensor, "target atom"]
    weights: Float[Tensor, "target atom"]


@torch.no_grad()
def nonnegative_lasso(
    targets: Float[Tensor, "target embed"],
    texts: Float[Tensor, "text embed"],
    penalty: float,
) -> Lasso:
    """The sparse sum of each target. Raises ValueError for a penalty that is not positive.

    Each step costs a product of all targets with all texts, and there are little more than a sum has texts. A sum ends
    with 15 texts for 16 dimensions, where the penalty is so small: with as many, rounding decides which they are.

    >>> nonnegative_lasso(torch.tensor([[1.0, 3.0, -4.0]]), torch.eye(3), 0.5)
    Lasso(indices=tensor([[1, 0]]), weights=tensor([[2.5000, 0.5000]]))
    """
    if not penalty > 0:
        raise ValueError(f"the penalty is {penalty}: expected a positive number")
    indices = torch.zeros(len(targets), 0, dtype=torch.long, device=targets.device)
    weights, residual = targets.new_zeros(len(targets), 0), targets
    going = torch.ones(len(targets), dtype=torch.bool, device=targets.device)
    most_texts = max(1, 15 * texts.shape[1] // 16)
    search = searched(texts, opposite=False)
    while going.any():
        # A text that others have made superfluous leaves, so that those in the support stay independent.
        kept = indices.where(weights > 0, STOPPED)
        most, index = search.best(residual, _taken(kept), going)
        going = going & (most > penalty * (1 + _SLACK))
        indices = torch.cat([kept, torch.where(going, index, STOPPED)[:, None]], dim=1)
        weights, residual = _refitted(targets, texts, indices, penalty)
        going = going & (weights[:, -1] > 0) & ((weights > 0).sum(dim=1) < most_texts)
    return _ordered(indices, weights)


def _taken(kept: Int[Tensor, "target step"]) -> Int[Tensor, "target step"]:
    """The texts of each support, which products in float32 may take for one to add where the penalty is small.

    Empty places name a text of the same support: a target that goes on has one.
    """
    if not kept.shape[1]:
        return kept
    some = kept.amax(dim=1, keepdim=True).clamp(min=0)
    return kept.where(kept != STOPPED, some)


def _ordered(indices: Tensor, weights: Tensor) -> Lasso:
    """The texts with a weight, by falling weight."""
    longest = int((weights > 0).sum(dim=1).max()) if weights.numel() else 0
    sorted_weights, order = weights.sort(dim=1, descending=True, stable=True)
    found = indices.gather(1, order).where(sorted_weights > 0, STOPPED)
    return Lasso(found[:, :longest], sorted_weights[:, :longest])


def _refitted(
    targets: Tensor, texts: Tensor, indices: Tensor, penalty: float
) -> tuple[Float[Tensor, "target atom"], Float[Tensor, "target embed"]]:
    """The weights on the support, and what they leave of the targets."""
    used = indices != STOPPED
    support = texts[indices.clamp(min=0)].double() * used[..., None]
    wanted = (support @ targets.double()[..., None])[..., 0] - penalty
    # An empty place would gain nothing by a weight: it stays at zero.
    weights = nonnegative_weights(support @ support.mT, torch.where(used, wanted, -1.0))
    left = targets.double() - (weights[:, None] @ support)[:, 0]
    return weights.to(targets), left.to(targets)
