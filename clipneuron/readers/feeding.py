"""The pixels of a shard, batch by batch, where the model is."""

from collections.abc import Iterator

import torch
from torch import Tensor

from clipneuron.data.collections import Picture
from clipneuron.models.clip.preprocessing.uploads import uploaded
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.pictures import Batch, Pixels


def fed(
    loaded: Batch, size: int, device: torch.device
) -> Iterator[tuple[tuple[Picture, ...], Pixels | Tensor]]:
    """The good pictures and their pixels, `size` at a time; on a GPU the next ones are copied meanwhile.

    The pixels of a batch are good until the next one is asked for. On a CPU they are the shard's own, uncopied.
    """
    if device.type != "cuda":
        return loaded.slices(size)
    slices = ((pictures, unchanging(pixels)) for pictures, pixels in loaded.slices(size))
    return uploaded(slices, device)
