"""Large tensors in memory that the process has had before."""

import os
import resource

import pytest
import torch

from clipneuron.models.allocation import keep_freed_memory
from tests.samples.processes import run_in_process

SIZES = (48, 68)
"""MB of a batch's activations in a layer: the recipes vit_b_32 and vit_l_14 have about as much."""


@pytest.mark.process
@pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="another C library than glibc"
)
@pytest.mark.parametrize("size", SIZES)
def test_the_system_clears_no_pages_for_a_large_tensor_after_others(size: int) -> None:
    before, after = run_in_process(cleared, size)
    pages = size * 2**20 // os.sysconf("SC_PAGE_SIZE")
    assert before > 4 * pages, "each of five tensors has pages of its own"
    assert after < before / 2, "most have those of earlier ones"


def cleared(size: int) -> tuple[int, int]:
    """Pages that the system made for five large tensors, as usual, and after some others with memory that is kept."""
    before = made(size)
    keep_freed_memory()
    for _ in range(3):  # the heap grows to what fits
        made(size)
    return before, made(size)


def made(size: int) -> int:
    """Pages that the system made for five tensors of so many MB, one after another."""
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.zeros(size * 2**18).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun
