"""Bootstrap intervals of figures that are made of sums over items, such as a ratio of two sums (Efron 1979).

Items (pictures, with all that belongs to each) are drawn with replacement. Several methods are resampled by the same
draws, so that the intervals of their differences are paired.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

_BLOCK = 2**24
"""Weights of items in draws that are held at a time."""


class Intervals(NamedTuple):
    """Figures of each method with the ends of their intervals."""

    value: Float[Tensor, "method figure"]
    low: Float[Tensor, "method figure"]
    high: Float[Tensor, "method figure"]


def resampled_sums(
    values: Float[Tensor, "method item column"], *, draws: int = 1000, seed: int = 0
) -> Float[Tensor, "draw method column"]:
    """Sums over as many items as there are, drawn with replacement: the same items for every method.

    Raises ValueError where there is no item, or a value that is not finite.
    """
    items = values.shape[1]
    if not items or draws < 1 or not values.isfinite().all():
        raise ValueError(
            f"cannot draw {draws} times of {items} items: expected at least one draw and one item, all values finite"
        )
    values = values.double().cpu()
    generator = torch.Generator().manual_seed(seed)
    at_a_time = max(1, _BLOCK // items)
    blocks = [min(at_a_time, draws - start) for start in range(0, draws, at_a_time)]
    return torch.cat([_drawn(values, count, generator) for count in blocks])


def intervals(
    values: Float[Tensor, "method item column"],
    figures: Callable[[Tensor], Tensor],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Intervals:
    """The figures of each method's sums, with percentile intervals over the items."""
    drawn = figures(resampled_sums(values, draws=draws, seed=seed))
    return Intervals(figures(values.double().cpu().sum(1)), *_ends(drawn, level))


def paired_intervals(
    values: Float[Tensor, "method item column"],
    figures: Callable[[Tensor], Tensor],
    reference: int,
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Intervals:
    """The figures of each method minus those of the method `reference`, with intervals of the paired differences."""
    drawn = figures(resampled_sums(values, draws=draws, seed=seed))
    whole = figures(values.double().cpu().sum(1))
    differences = drawn - drawn[:, reference, None]
    return Intervals(whole - whole[reference, None], *_ends(differences, level))


def _drawn(values: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    items = values.shape[1]
    chosen = torch.randint(items, (draws, items), generator=generator)
    ones = torch.ones(1, dtype=torch.float64).expand_as(chosen)
    times = torch.zeros(draws, items, dtype=torch.float64).scatter_add_(1, chosen, ones)
    return einsum(times, values, "draw item, method item column -> draw method column")


def _ends(drawn: Tensor, level: float) -> tuple[Tensor, Tensor]:
    if not 0 < level < 1:
        raise ValueError(f"the level is {level}: expected a number between 0 and 1")
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=drawn.dtype)
    low, high = drawn.quantile(tails, dim=0)
    return low, high
