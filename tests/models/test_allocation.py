"""Large tensors in memory that the process has had before."""

import os
import resource

import pytest
import torch

from clipneuron.models.allocation import keep_freed_memory
from tests.samples.processes import run_in_process

PAGES = 48 * 2**20 // os.sysconf("SC_PAGE_SIZE")
"""Of a tensor of 48 MB."""


@pytest.mark.process
@pytest.mark.skipif(
    "CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="another C library than glibc"
)
def test_the_system_clears_no_pages_for_a_large_tensor_after_others() -> None:
    before, after = run_in_process(cleared)
    assert before > 4 * PAGES, "each of five tensors has pages of its own"
    assert after < before / 2, "most have those of earlier ones"


def cleared() -> tuple[int, int]:
    """Pages that the system made for five large tensors, as usual, and after some others with memory that is kept."""
    before = made()
    keep_freed_memory()
    for _ in range(3):  # the heap grows to what fits
        made()
    return before, made()


def made() -> int:
    """Pages that the system made for five tensors of 48 MB, one after another."""
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.zeros(12 * 2**20).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun
