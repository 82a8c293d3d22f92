"""Shares of pictures with their intervals."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from clipneuron.lens.scores.metrics import bootstrap_interval


class Estimate(NamedTuple):
    """A mean with its 95 % bootstrap interval; shares, not per cent."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def estimate(values: NDArray[np.float64], draws: int = 1000) -> Estimate:
    """The mean of the values, of which there must be some, all finite (ValueError)."""
    interval = bootstrap_interval(torch.from_numpy(values), draws=draws)
    return Estimate(float(np.mean(values)), *interval)


def finite_mean(values: NDArray[np.float64]) -> float:
    """The mean of those that are finite; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
