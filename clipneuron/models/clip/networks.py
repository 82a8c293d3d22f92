"""A network as it is given: what is wrapped around it, its image tower, where and how it computes."""

from typing import Any

import torch
from open_clip.coca_model import CoCa
from open_clip.transformer import VisionTransformer

_PARALLEL = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)


def image_tower(network: Any) -> Any:
    """The image tower of a network, or what was given as one."""
    tower = (
        network if isinstance(network, VisionTransformer) else getattr(network, "visual", network)
    )
    return unwrapped(tower)


def check_texts(network: Any) -> None:
    """Raises ValueError for a captioner: its texts are normalised, and it does not say its vocabulary."""
    if isinstance(network, CoCa):
        raise ValueError(
            "the texts of a CoCa cannot be read: give a CLIP, or its image tower alone, load_clip(model.visual)"
        )


def unwrapped(module: Any) -> Any:
    """The network that torch.compile, DataParallel or DistributedDataParallel is wrapped around."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(module, _PARALLEL):
            inner = module.module
        if inner is None:
            return module
        module = inner


def prepare(network: Any, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    """Put the network into eval mode, and move it to the requested device and type."""
    for module in (network, image_tower(network)):
        if isinstance(module, torch.nn.Module):
            module.eval().to(device=device, dtype=dtype)
