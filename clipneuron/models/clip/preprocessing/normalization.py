"""Pixels as a vision tower reads them: the last step of the preprocessing, where the model is."""

import warnings
from typing import Any

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


def normalized(
    pixels: Tensor | NDArray[Any],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "*image 3 height width"]:
    """(pixels / 255 - mean) / std, per colour; on `device` or where the pixels are."""
    values = _tensor(pixels)
    if values.dtype != torch.uint8:
        raise ValueError(f"expected uint8 pixels as `decode` yields them, got {values.dtype}")
    chosen = dtype or torch.float32
    # Nothing waits for a GPU: its own queue keeps copies and kernels in order.
    values = values.to(device or values.device, non_blocking=True).to(chosen).div_(255)
    scales = torch.tensor([mean, std], dtype=chosen).to(values.device, non_blocking=True)
    means, stds = scales[..., None, None]
    return values.sub_(means).div_(stds)


def _tensor(pixels: Tensor | NDArray[Any]) -> Tensor:
    """The pixels as a tensor on the same memory, which is only read: it may be a cluster's shared memory."""
    if isinstance(pixels, Tensor):
        return pixels
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(pixels)
