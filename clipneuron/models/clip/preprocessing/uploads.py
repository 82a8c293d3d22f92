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
    copies, buffers = _Copies(device), list[_Buffer]()
    ahead: tuple[Item, _Buffer] | None = None
    for number, (item, pixels) in enumerate(batches):
        if not number:
            buffers = [_Buffer(pixels, device) for _ in range(2)]
        buffer = buffers[number % 2]
        copies.begin(buffer, pixels)
        if ahead is not None:
            yield ahead[0], copies.ended(ahead[1])
            ahead[1].release()
        ahead = item, buffer
    if ahead is not None:
        yield ahead[0], copies.ended(ahead[1])


class _Buffer:
    """Memory for one batch on the device, and as much of the host's that the device can read by itself."""

    def __init__(self, like: Tensor, device: torch.device) -> None:
        self.here = torch.empty(like.shape, dtype=like.dtype).pin_memory()
        self.there = torch.empty(like.shape, dtype=like.dtype, device=device)
        self.count = 0
        self.copied: torch.cuda.Event | None = None
        self.release()

    def release(self) -> None:
        """Everything that is asked of these pixels has been asked."""
        self.free = torch.cuda.current_stream(self.there.device).record_event()


class _Copies:
    """The queue of copies, beside that of the work."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def begin(self, buffer: _Buffer, pixels: Tensor) -> None:
        """Begin to copy pixels, once the work on those of two batches ago is done."""
        if buffer.copied is not None:
            buffer.copied.synchronize()  # of a copy that was made two batches ago
        buffer.count = len(pixels)
        buffer.here[: buffer.count].copy_(pixels)
        # Whoever stops half-way frees this memory with a copy under way: nobody else may get it before that ends.
        buffer.there.record_stream(self._stream)
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(buffer.free)
            buffer.there[: buffer.count].copy_(buffer.here[: buffer.count], non_blocking=True)
            buffer.copied = self._stream.record_event()

    def ended(self, buffer: _Buffer) -> Tensor:
        """The pixels; what the device does next waits until they are there, and the CPU does not."""
        assert buffer.copied is not None
        torch.cuda.current_stream(buffer.there.device).wait_event(buffer.copied)
        return buffer.there[: buffer.count]
