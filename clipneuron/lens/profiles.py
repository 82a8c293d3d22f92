"""How a neuron's top effects are spread: over their principal directions, and over the heads that carry them."""

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.lens.summaries import BINS, BINS_PER_DECADE, LOWEST_DECADE

COARSE = 4
"""Bins of a summary's histogram that are one bin of a profile's: eight a decade."""


def scree(
    coefficients: Float[Tensor, "neuron top path"],
    basis: Float[Tensor, "neuron path embed"],
    remainders: Float[Tensor, "neuron top coordinate"],
    remainder_basis: Float[Tensor, "coordinate embed"],
    count: int,
) -> Float[Tensor, "neuron component"]:
    """Shares of the top effects' squared norm along their first principal directions, falling; zeros without any.

    Effects are centred by the mean over D and not centred again, as for the first direction (Sec. 3.3), whose explained
    variance is the first share. The eigenproblem is that of the products of the top effects, which are fewer than their
    dimensions.
    """
    effects = (coefficients @ basis + remainders @ remainder_basis).double()
    values = torch.linalg.eigvalsh(effects @ effects.mT).flip(1).clamp(min=0)[:, :count]
    total = effects.square().sum((1, 2))[:, None]
    return torch.where(total > 0, values / total.clamp(min=torch.finfo(values.dtype).tiny), 0.0)


def path_shares(
    coefficients: Float[Tensor, "neuron top path"],
    basis: Float[Tensor, "neuron path embed"],
    remainders: Float[Tensor, "neuron top coordinate"],
    remainder_basis: Float[Tensor, "coordinate embed"],
    directions: Float[Tensor, "neuron embed"],
) -> Float[Tensor, "neuron path"]:
    """The share of each path in sum_i x_i^2, where x_i is the projection of the i-th top effect on the direction.

    x_i is a sum over paths of c_{i,path} <u_path, r>, so the share of a path is sum_i x_i c_{i,path} <u_path, r> over
    sum_i x_i^2. The shares and that of the remainder add up to 1; one is negative where a path writes against the
    others. Zeros for a neuron without a direction.
    """
    along = (basis @ directions[..., None])[..., 0]
    projections = einsum(coefficients, along, "n t p, n p -> n t")
    projections = (
        projections + (remainders @ (remainder_basis @ directions.mT).mT[..., None])[..., 0]
    )
    carried = einsum(projections, coefficients, "n t, n t p -> n p") * along
    total = projections.square().sum(1, keepdim=True)
    return torch.where(total > 0, carried / total.clamp(min=torch.finfo(total.dtype).tiny), 0.0)


def coarse_histogram(
    histogram: Int[Tensor, " bin"],
) -> tuple[list[float], list[int]]:
    """Edges and counts of a neuron's norms in wider bins, without the empty ones at both ends; edges are one more.

    Nothing where no picture was counted.
    """
    counts = histogram.reshape(BINS // COARSE, COARSE).sum(1)
    used = counts.nonzero()[:, 0]
    if not len(used):
        return [], []
    first, last = int(used[0]), int(used[-1])
    exponents = [LOWEST_DECADE + at * COARSE / BINS_PER_DECADE for at in range(first, last + 2)]
    return [10.0**exponent for exponent in exponents], counts[first : last + 1].tolist()
