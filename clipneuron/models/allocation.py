"""Where a process gets memory for large tensors on the CPU."""

import ctypes
from functools import cache

KEPT = 2**29
"""Bytes that are free and stay with the process, at most."""

MAPPED = 2**27
"""Bytes from which a block goes back to the system as soon as it is freed."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h: how much free memory is kept, and the size from which a block is mapped by itself."""


@cache
def keep_freed_memory() -> None:
    """From now on, large tensors on the CPU are made of memory that this process has freed.

    glibc gives blocks of more than 32 MB back to the system at once, which clears the next one page by page before it
    is written: a twentieth of a pass over all layers of ViT-B-32 (`benchmarks/effects.py --fresh-memory`). Other C
    libraries are left as they are.

    A batch of the recipes leaves 430 MB of activations of ViT-B-32 behind, in blocks of 39 MB, and 1.5 GB of ViT-L-14,
    in blocks of 67 MB. Blocks of more than `MAPPED` still go back, and what is free beyond `KEPT`, which a plan of
    memory counts: with either limit at gigabytes, a pass over all layers of ViT-L-14 took more than its plan
    (`benchmarks/memory.py --at-model`).
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change and change(_M_MMAP_THRESHOLD, MAPPED):  # older versions refuse more than 32 MB
        change(_M_TRIM_THRESHOLD, KEPT)
