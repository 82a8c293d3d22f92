"""How cost grows along each axis of the work: seconds at several sizes, and the exponent of the power law between them.

    python benchmarks/scaling.py                       # about four minutes
    python benchmarks/scaling.py --out results/        # also keeps scaling_DATE.md and a chart of it
    python benchmarks/scaling.py --only pool atoms

Core-seconds of one process, the least of three turns, with the product's own functions on made-up numbers of
ViT-B-32's sizes; only the axis that is named grows. An exponent of 1 is proportional; the exponent is the slope of a
straight line through the logarithms. The axes of workers are the only ones in seconds of a clock, and that of perfect
workers has exponent -1. "real-workers" is the sweep through Ray, ViT-B-32's shape, with actors of one core each, so
that two take a machine of two idle cores: Ray, decoding and committing run beside them. "workers" is a simulation:
shards whose times vary by a tenth are given to whoever is free, as the engine does.
"""

import argparse
import datetime
import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from machine import describe
from matplotlib.figure import Figure
from timing import least
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.directions import first_directions
from clipneuron.lens.pursuit import pursuit
from clipneuron.lens.summaries import Collector
from clipneuron.models.allocation import keep_freed_memory
from clipneuron.reports.charts import chart

HEADS, BATCH, TOP, EMBED = 12, 32, 100, 512
SHARDS = 626
"""Of ImageNet, at 2,048 pictures a shard."""


@dataclass(frozen=True)
class Axis:
    """Seconds of some work at several sizes."""

    name: str
    work: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    @property
    def exponent(self) -> float:
        """The slope of the least-squares line through the logarithms."""
        pairs = [(math.log(a), math.log(b)) for a, b in zip(self.sizes, self.seconds, strict=True)]
        x, y = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
        return sum((a - x) * (b - y) for a, b in pairs) / sum((a - x) ** 2 for a, _ in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=AXES, default=tuple(AXES), metavar="AXIS")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keeps table and chart, dated")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as workers do
    with torch.inference_mode():
        axes = [AXES[name]() for name in arguments.only]
    table = "\n".join(lines(axes))
    print(table)
    if arguments.out:
        name = f"scaling_{datetime.date.today()}"
        (arguments.out / f"{name}.md").write_text(f"![each axis]({name}.png)\n\n{table}\n")
        drawn = chart(
            partial(draw, axes),
            "Core-seconds of made-up work; workers: seconds, of the sweep and simulated",
            5,
        )
        (arguments.out / f"{name}.png").write_bytes(drawn)


def lines(axes: Sequence[Axis]) -> list[str]:
    """The table as Markdown."""
    found = [
        describe(),
        "",
        "| axis | work | sizes | seconds | exponent |",
        "|---|---|---|---|---|",
    ]
    for axis in axes:
        sizes, seconds = (f"{size:,}" for size in axis.sizes), (f"{s:.3g}" for s in axis.seconds)
        cells = (axis.name, axis.work, " / ".join(sizes), " / ".join(seconds))
        found.append(f"| {' | '.join(cells)} | {axis.exponent:.2f} |")
    return found


def draw(axes: Sequence[Axis], figure: Figure) -> None:
    """All axes, each in multiples of its least size."""
    panel = figure.subplots()
    for axis in axes:
        sizes = [size / axis.sizes[0] for size in axis.sizes]
        seconds = [value / axis.seconds[0] for value in axis.seconds]
        panel.plot(sizes, seconds, marker="o", label=f"{axis.name}: {axis.exponent:.2f}")
    panel.set(xscale="log", yscale="log", xlabel="times the size", ylabel="times the seconds")
    panel.legend(title="exponent", loc="center left", bbox_to_anchor=(1, 0.5))


def timed(name: str, work: str, works: dict[int, Callable[[], object]], repeats: int = 3) -> Axis:
    """The axis, its sizes in turn."""
    times = least({f"{size}": each for size, each in works.items()}, repeats)
    return Axis(name, work, tuple(works), tuple(times.values()))


def pictures() -> Axis:
    """Summaries of pictures: what the sweep keeps beside norms."""
    sizes = (100, 1_000, 10_000, 100_000)
    works = {size: partial(summarised, size, 64, 3 * HEADS) for size in sizes}
    return timed("pictures", "summaries of 64 neurons", works, repeats=1)


def summarised(images: int, neurons: int, paths: int) -> None:
    """One batch after another, no two alike."""
    dice = torch.Generator().manual_seed(0)
    collector = Collector(neurons, paths, TOP)
    coefficients = torch.randn(BATCH, neurons, paths, generator=dice)
    for start in range(0, images, BATCH):
        some = min(BATCH, images - start)
        norms = torch.rand(some, neurons, generator=dice)
        collector.add(norms, torch.arange(start, start + some), coefficients[:some])
    collector.summary()


def neurons() -> Axis:
    """First directions of a late layer."""
    sizes = (64, 128, 256, 512)
    works = {size: partial(first_directions, *effects(size, 2 * HEADS)) for size in sizes}
    return timed("neurons", "first directions, 24 paths", works)


def effects(count: int, paths: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coefficients, basis, remainders and their basis, of a leading direction and noise."""
    dice = torch.Generator().manual_seed(0)
    rows = torch.randn(count, TOP, paths, generator=dice)
    rows = rows + 3 * torch.randn(count, TOP, 1, generator=dice)
    basis = torch.randn(count, paths, EMBED, generator=dice)
    return rows, basis, rows.new_zeros(count, TOP, 0), rows.new_zeros(0, EMBED)


def layers() -> Axis:
    """Norms of the last layers: an earlier layer has twelve paths more."""
    sizes = (1, 2, 4, 8, 11)
    works = {size: partial(normed, size) for size in sizes}
    return timed("layers", "norms of the last layers, 256 neurons", works)


def normed(count: int) -> None:
    """s^T G s of a block of neurons of each layer."""
    for layer in range(1, count + 1):
        paths = HEADS * layer
        rows, grams = torch.ones(256, BATCH, paths), torch.ones(256, paths, paths)
        (rows @ grams).mul_(rows).sum(-1)


def pool() -> Axis:
    """Sparse descriptions from more texts."""
    sizes = (1_000, 3_000, 10_000, 30_000)
    works = {size: partial(pursuit, *problem(size), 32) for size in sizes}
    return timed("pool", "pursuits of 128 neurons, 32 atoms", works, repeats=1)


def atoms() -> Axis:
    """Longer descriptions."""
    works = {size: partial(pursuit, *problem(10_000), size) for size in (8, 16, 32, 64, 128)}
    return timed("atoms", "pursuits of 128 neurons, 10,000 texts", works, repeats=1)


def problem(texts: int) -> tuple[Tensor, Tensor]:
    """Random directions of 128 neurons, and texts."""
    dice = torch.Generator().manual_seed(0)
    directions = normalize(torch.randn(128, EMBED, generator=dice), dim=1)
    return directions, normalize(torch.randn(texts, EMBED, generator=dice), dim=1)


def real_workers() -> Axis:
    """Actors of one core each, from the end of the first shard to that of the last."""
    from engines import answers

    found = answers(("Ray, 1 actor of 1 core", "Ray, 2 actors"), pictures=600, shard=100)
    seconds = tuple(1000 / rate for rate, _ in found.values())
    return Axis("workers, real", "1,000 pictures, layers 8-10", (1, 2), seconds)


def workers() -> Axis:
    """Shards given to whoever is free."""
    sizes = (1, 2, 4, 8, 16, 32, 64)
    return Axis(
        "workers, simulated",
        f"{SHARDS} shards of 1 s",
        sizes,
        tuple(map(last_ends, sizes)),
    )


def last_ends(count: int) -> float:
    """When the last shard ends."""
    dice = random.Random(0)
    free = [0.0] * count
    for _ in range(SHARDS):
        heapq.heapreplace(free, free[0] + max(0.0, dice.gauss(1, 0.1)))
    return max(free)


AXES: dict[str, Callable[[], Axis]] = {
    axis.__name__.replace("_", "-"): axis
    for axis in (pictures, neurons, layers, pool, atoms, real_workers, workers)
}


if __name__ == "__main__":
    main()
