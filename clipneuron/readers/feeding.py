"""Pixels brought to a GPU one batch ahead of the work on them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from clipneuron.data.collections import Picture
from clipneuron.readers.arrow import unchanging
from clipneuron.readers.pictures import Batch, Pixels


def fed(
    loaded: Batch, size: int, device: torch.device
) -> Iterator[tuple[tuple[Picture, ...], Pixels | Tensor]]:
    """The good pictures and their pixels, `size` at a time; on a GPU the next ones are copied meanwhile.

    The pixels of a batch are good until the next one is asked for: two buffers are used in turn. On a CPU they are the
    shard's own, uncopied.
    """
    if device.type != "cuda":
        yield from loaded.slices(size)
        return
    stream, buffers = torch.cuda.Stream(device), [_Buffer(loaded, size, device) for _ in range(2)]
    ahead: tuple[tuple[Picture, ...], _Buffer] | None = None
    for number, (pictures, pixels) in enumerate(loaded.slices(size)):
        buffer = buffers[number % 2]
        buffer.fill(unchanging(pixels), stream)
        if ahead is not None:
            yield ahead[0], ahead[1].filled()
            ahead[1].release()
        ahead = pictures, buffer
    if ahead is not None:
        yield ahead[0], ahead[1].filled()


class _Buffer:
    """Memory for one batch on the device, and as much of the host's that the device can read by itself."""

    def __init__(self, loaded: Batch, size: int, device: torch.device) -> None:
        shape = min(size, len(loaded.good)), *loaded.pixels.shape[1:]
        self._here = torch.empty(shape, dtype=torch.uint8).pin_memory()
        self._there = torch.empty(shape, dtype=torch.uint8, device=device)
        self._count = 0
        self._copied: torch.cuda.Event | None = None
        self._free = torch.cuda.current_stream(device).record_event()

    def fill(self, pixels: Tensor, stream: torch.cuda.Stream) -> None:
        """Begin to copy pixels, once the work on those of two batches ago is done."""
        if self._copied is not None:
            self._copied.synchronize()  # of a copy that was made two batches ago
        self._count = len(pixels)
        self._here[: self._count].copy_(pixels)
        with torch.cuda.stream(stream):
            stream.wait_event(self._free)
            self._there[: self._count].copy_(self._here[: self._count], non_blocking=True)
            self._copied = stream.record_event()

    def filled(self) -> Tensor:
        """The pixels; what the device does next waits until they are there, and the CPU does not."""
        assert self._copied is not None
        torch.cuda.current_stream(self._there.device).wait_event(self._copied)
        return self._there[: self._count]

    def release(self) -> None:
        """Everything that is asked of these pixels has been asked."""
        self._free = torch.cuda.current_stream(self._there.device).record_event()
