"""Pixels copied to a GPU one batch ahead of the work on them."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def uploaded(
    batches: Iterable[tuple[Item, Tensor]], device: torch.device
) -> Iterator[tuple[Item, Tensor]]:
    """What goes with each batch, and its pixels on the GPU; the next batch is copied meanwhile.

    Two buffers of the first batch's size are used in turn, and no later batch may be larger. The pixels of a batch are
    good until the next one is asked for.
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    buffers: list[_Buffer] = []
    ahead: tuple[Item, _Buffer] | None = None
    for number, (item, pixels) in enumerate(batches):
        if not number:
            buffers = [_Buffer(pixels, device, stream) for _ in range(2)]
        buffer = buffers[number % 2]
        buffer.fill(pixels)
        if ahead is not None:
            yield ahead[0], ahead[1].filled()
            ahead[1].release()
        ahead = item, buffer
    if ahead is not None:
        yield ahead[0], ahead[1].filled()


class _Buffer:
    """Memory for one batch on the device, and as much of the host's that the device can read by itself."""

    def __init__(self, like: Tensor, device: torch.device, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._here = torch.empty(like.shape, dtype=like.dtype).pin_memory()
        self._there = torch.empty(like.shape, dtype=like.dtype, device=device)
        # Whoever stops half-way frees this memory with a copy under way: nobody else may get it before that ends.
        self._there.record_stream(stream)
        self._count = 0
        self._copied: torch.cuda.Event | None = None
        self._free = torch.cuda.current_stream(device).record_event()

    def fill(self, pixels: Tensor) -> None:
        """Begin to copy pixels, once the work on those of two batches ago is done."""
        if self._copied is not None:
            self._copied.synchronize()  # of a copy that was made two batches ago
        self._count = len(pixels)
        self._here[: self._count].copy_(pixels)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._free)
            self._there[: self._count].copy_(self._here[: self._count], non_blocking=True)
            self._copied = self._stream.record_event()

    def filled(self) -> Tensor:
        """The pixels; what the device does next waits until they are there, and the CPU does not."""
        assert self._copied is not None
        torch.cuda.current_stream(self._there.device).wait_event(self._copied)
        return self._there[: self._count]

    def release(self) -> None:
        """Everything that is asked of these pixels has been asked."""
        self._free = torch.cuda.current_stream(self._there.device).record_event()
