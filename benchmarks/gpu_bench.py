"""The device that benchmarks/gpu.py measures: its clock, its memory, the time that is left, and goals met or missed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import torch

Work = Callable[[], object]


@dataclass
class Bench:
    """The device, the sizes, and how much time is left."""

    device: torch.device
    batch: int
    texts: int
    atoms: int
    seconds: float
    """For which each row is measured, after a warm-up; three calls at least."""
    ends: float
    """On the performance counter, after which nothing new begins."""
    dry: bool
    failures: list[str] = field(default_factory=list)
    goals: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.ends - time.perf_counter()

    @property
    def name(self) -> str:
        """The device in words."""
        if self.device.type != "cuda":
            return "a CPU, tiny (a dry run: its figures say nothing)"
        found = torch.cuda.get_device_properties(self.device)
        return f"{found.name}, {found.total_memory / 2**30:.0f} GiB"

    @property
    def free(self) -> int:
        """Bytes of memory that nobody has yet."""
        return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else 2**33

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def timed(self, work: Work) -> tuple[float, float]:
        """Median seconds of a call, and GiB that tensors took at most (0 on a CPU)."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        work()
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < 3 or (time.perf_counter() - start < self.seconds and len(times) < 50):
            self.wait()
            begun = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - begun)
        used = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0
        return median(times), used / 2**30

    def row(self, title: str, seconds: float, plain: float, used: float) -> None:
        """Print what a batch took, beside a plain forward pass."""
        rate = self.batch / seconds
        print(f"| {title} | {rate:,.0f} | {seconds / plain:.3f} | {used:.1f} |", flush=True)

    def goal(self, what: str, value: float, bound: float, *, above: bool = False) -> None:
        """Note a goal, and whether it is met; tiny shapes have none."""
        if self.dry:
            return
        met = value >= bound if above else value <= bound
        sign, verdict = ">=" if above else "<=", "met" if met else "**missed**"
        self.goals.append(f"| {what} | {sign} {bound:g} | {value:.3g} | {verdict} |")
        if not met:
            self.failures.append(what)
