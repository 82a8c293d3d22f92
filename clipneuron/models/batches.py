"""Work in batches that become smaller when they do not fit into memory."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)


class Batches:
    """Runs work over batches of at most `size` items; a batch that is too large is halved for good.

    Its size outlives a call, so that what was learned once is not learned again.
    """

    def __init__(self, size: int):
        if size < 1:
            raise ValueError(f"a batch holds at least one item, not {size}")
        self.size = size

    def run(
        self, items: Sequence[Item], work: Callable[[Sequence[Item]], list[Result]]
    ) -> list[Result]:
        """The results of all items in order; out-of-memory errors come through from single items only."""
        results: list[Result] = []
        while len(results) < len(items):
            batch = items[len(results) : len(results) + self.size]
            try:
                results += work(batch)
            except RuntimeError as error:
                if len(batch) == 1 or not out_of_memory(error):
                    raise
                self.size = max(1, len(batch) // 2)
                _LOG.warning("out of memory with a batch of %d: now %d", len(batch), self.size)
            # Outside of the handler: the error holds on to the tensors that filled the memory.
            free_memory()
        return results


def out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that memory, of the GPU or of the machine, was not enough."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory() -> None:
    """Give back what torch keeps of the GPU's memory for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
