"""The cost of second-order norms on top of a plain forward pass: ViT-B-32's shape, random weights, on this machine.

    python benchmarks/effects.py                      # both splits, all layers / 8-10 / 9
    python benchmarks/effects.py --batch 16 --repeats 20

Each repeat times the plain open_clip forward pass and every variant in turn on the same pixels, so that a drift of the
machine's speed affects all alike; reported are medians of the ratios within a repeat. Norms are the sweep's centred
norms: one forward pass with capture, coefficients minus their mean, Gram norms; PyTorch's own threads. Means and
the remainders' axes come from 96 pictures of noise, in place of the real ones of `calibrate`.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import open_clip
import torch
from machine import describe

from clipneuron import Clip, SecondOrderLens, load_clip
from clipneuron.lens.summaries import Moments

LAYERS = {"all layers": tuple(range(11)), "layers 8-10": (8, 9, 10), "layer 9": (9,)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--batch", type=int, default=32, help="images per forward pass")
    parser.add_argument(
        "--wide", action="store_true", help="keep all coordinates of the remainders"
    )
    parser.add_argument("--repeats", type=int, default=10, help="timed repeats, after one warm-up")
    arguments = parser.parse_args()
    clip = load_clip(open_clip.create_model(arguments.model, pretrained=None))
    size = clip.image_size
    pixels = torch.randn(arguments.batch, 3, *((size, size) if isinstance(size, int) else size))
    print(describe())
    print(f"{arguments.model}, batch {arguments.batch}, {arguments.repeats} repeats, float32")
    print(
        f"{'layers':12} {'split':9} {'ms/image':>9} {'added':>7}   (plain forward in the same repeat)"
    )
    for split in ("equal", "centered"):
        for name, layers in LAYERS.items():
            report(clip, pixels, name, layers, split, arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.1f} GiB")


def report(
    clip: Clip,
    pixels: torch.Tensor,
    name: str,
    layers: tuple[int, ...],
    split: str,
    options: argparse.Namespace,
) -> None:
    """Print one row of the table."""
    lenses, means = calibrated(clip, pixels.shape, layers, split, options.wide)
    plain, full = [], []
    sweep = sweeper(clip, pixels, layers, lenses, means)
    for repeat in range(options.repeats + 1):
        times = seconds(lambda: clip.visual(pixels)), seconds(sweep)
        if repeat:
            plain.append(times[0])
            full.append(times[1])
    ratio = statistics.median(b / a for a, b in zip(plain, full, strict=True)) - 1
    print(f"{name:12} {split:9} {statistics.median(full) / len(pixels) * 1e3:9.2f} {ratio:7.1%}")


def moments(
    clip: Clip, shape: torch.Size, layers: tuple[int, ...], split: str
) -> list[tuple[SecondOrderLens, Moments]]:
    """A lens per layer, and what it saw of 96 random pictures."""
    sums: dict[int, Moments] = {}
    lenses = {layer: SecondOrderLens(clip, layer, split=split) for layer in layers}
    with torch.inference_mode():
        for seed in range(3):
            pixels = torch.randn(32, *shape[1:], generator=torch.Generator().manual_seed(seed))
            trace = clip.trace(pixels, layers)
            for layer, lens in lenses.items():
                found = Moments.of(lens.coefficients(trace), lens.remainders(trace))
                sums[layer] = sums[layer] + found if layer in sums else found
    return [(lens, sums[layer]) for layer, lens in lenses.items()]


def calibrated(
    clip: Clip, shape: torch.Size, layers: tuple[int, ...], split: str, wide: bool
) -> tuple[list[SecondOrderLens], list[tuple[torch.Tensor, torch.Tensor]]]:
    """A lens per layer, narrowed as in the sweep, and the means of 96 random pictures."""
    found = moments(clip, shape, layers, split)
    if wide:
        means = [(seen.mean[0].float(), seen.mean[1].float()) for _, seen in found]
        return [lens for lens, _ in found], means
    narrow = [lens.narrowed(seen.axes) for lens, seen in found]
    means = [(seen.mean[0].float(), (seen.mean[1] @ seen.axes).float()) for _, seen in found]
    return narrow, means


def sweeper(
    clip: Clip,
    pixels: torch.Tensor,
    layers: tuple[int, ...],
    lenses: list[SecondOrderLens],
    means: list[tuple[torch.Tensor, torch.Tensor]],
) -> Callable[[], None]:
    """One forward pass and the centred norms of all asked layers."""

    def sweep() -> None:
        trace = clip.trace(pixels, layers)
        for lens, (mean, outside) in zip(lenses, means, strict=True):
            lens.norms_of(lens.coefficients(trace, mean), lens.remainders(trace) - outside)

    return sweep


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    with torch.inference_mode():
        work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
