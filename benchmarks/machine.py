"""One line about the machine, printed above every table, and the memory of a process on it."""

import os
import platform
from pathlib import Path

import torch


def describe() -> str:
    """Processor, usable cores, PyTorch and its threads."""
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores; "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; Python {platform.python_version()}"
    )


def resident(which: str) -> int:
    """Bytes of this process by Linux, now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if which in line).split()[1]) * 1024


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
