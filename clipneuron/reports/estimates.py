"""Shares of pictures with their intervals."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from clipneuron.lens.metrics import bootstrap_interval


class Estimate(NamedTuple):
    """A mean with its 95 % bootstrap interval; shares, not per cent."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def estimate(values: NDArray[np.float64]) -> Estimate:
    """The mean of the values, of which there must be some, all finite (ValueError)."""
    return Estimate(float(np.mean(values)), *bootstrap_interval(torch.from_numpy(values)))
