"""The cost of second-order norms on top of a plain forward pass: ViT-B-32's shape, random weights, on this machine.

    python benchmarks/effects.py                      # both splits, all layers / 8-10 / 9
    python benchmarks/effects.py --batch 32 --only "all layers" --split equal
    python benchmarks/effects.py --fresh-memory       # as glibc does it: large tensors in new memory each time

Each repeat times the plain open_clip forward pass and every variant in turn on the same pixels, in core-seconds, so
that other work on the machine counts little; reported are the least of either and their ratio. Norms are the sweep's
centred norms: one forward pass with capture, coefficients minus their mean, Gram norms; PyTorch's own threads.
"capture" is the forward pass with capture alone, in plain forward passes. "products" adds the products that no
arrangement of the same sums can do without (coefficients, half of s G, remainders in each head's channels), as many and
as large, on memory that stays in the cache: the floor. Means and the remainders' axes come from 96 pictures of noise,
not from those of `calibrate`; real ones have more axes, up to all of `--wide`.
"""

import argparse
import resource
from collections.abc import Callable
from dataclasses import dataclass

import open_clip
import torch
from machine import describe
from timing import least

from clipneuron import Clip, SecondOrderLens, load_clip
from clipneuron.lens.summaries import Moments
from clipneuron.models.allocation import keep_freed_memory

BLOCK = 32
"""Neurons at a time, in the floor."""

SPLITS = ("equal", "centered")

LAYERS = {"all layers": tuple(range(11)), "layers 8-10": (8, 9, 10), "layer 9": (9,)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument(
        "--batch",
        type=int,
        default=64,
        help="images per forward pass; 64 as in the recipe vit_b_32",
    )
    parser.add_argument(
        "--wide", action="store_true", help="keep all coordinates of the remainders"
    )
    parser.add_argument("--repeats", type=int, default=10, help="timed repeats, after one warm-up")
    parser.add_argument("--only", nargs="+", choices=LAYERS, default=LAYERS, metavar="LAYERS")
    parser.add_argument("--split", nargs="+", choices=SPLITS, default=SPLITS)
    parser.add_argument(
        "--fresh-memory", action="store_true", help="do not keep freed memory, as workers do"
    )
    arguments = parser.parse_args()
    clip = load_clip(open_clip.create_model(arguments.model, pretrained=None))
    if not arguments.fresh_memory:
        keep_freed_memory()  # as workers do
    size = clip.image_size
    pixels = torch.randn(arguments.batch, 3, *((size, size) if isinstance(size, int) else size))
    print(describe())
    print(f"{arguments.model}, batch {arguments.batch}, {arguments.repeats} repeats, float32")
    print(
        f"{'layers':12} {'split':9} {'core-ms/image':>13} {'added':>7} {'capture':>8} {'products':>9}"
    )
    for split in arguments.split:
        for name in arguments.only:
            report(clip, pixels, name, LAYERS[name], split, arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.1f} GiB")


@dataclass(frozen=True)
class Cost:
    """Least core-seconds of a batch."""

    plain: float
    capture: float
    products: float
    whole: float


def report(
    clip: Clip,
    pixels: torch.Tensor,
    name: str,
    layers: tuple[int, ...],
    split: str,
    options: argparse.Namespace,
) -> None:
    """Print one row of the table."""
    cost = measured(clip, pixels, layers, split, options.repeats, options.wide)
    shares = f"{cost.capture / cost.plain:7.2f}x {cost.products / cost.plain:8.2f}x"
    each = cost.whole / len(pixels) * 1e3
    print(f"{name:12} {split:9} {each:13.2f} {cost.whole / cost.plain - 1:7.1%} {shares}")


def measured(
    clip: Clip,
    pixels: torch.Tensor,
    layers: tuple[int, ...],
    split: str,
    repeats: int,
    wide: bool = False,
) -> Cost:
    """Everything in turn, after one warm-up."""
    lenses, means = calibrated(clip, pixels.shape, layers, split, wide)
    works = {
        "plain": lambda: clip.visual(pixels),
        "capture": lambda: clip.trace(pixels, layers),
        "products": products(lenses, len(pixels), clip.weights.neurons, _tokens(clip)),
        "whole": sweeper(clip, pixels, layers, lenses, means),
    }
    with torch.inference_mode():
        found = least(works, repeats)
    return Cost(**found | {"products": found["capture"] + found["products"]})


def _tokens(clip: Clip) -> int:
    return len(clip.visual.positional_embedding)


def products(
    lenses: list[SecondOrderLens], images: int, neurons: int, tokens: int
) -> Callable[[], None]:
    """The matrix products of the norms of all layers, on blocks that stay in the cache, and nothing else."""

    def multiply() -> None:
        for lens in lenses:
            held, paths = lens.products, lens.paths
            activations, attention = torch.zeros(tokens, neurons), torch.zeros(tokens, paths)
            for _ in range(images):
                activations.T @ attention
            # of a block of neurons: each one's own rows and matrices, step by step, then the paths' heads
            steps = [step[:BLOCK].shape for step in held.gram]
            pairs = [
                (torch.zeros(BLOCK, images, own), torch.zeros(BLOCK, own, later))
                for _, own, later in steps
            ]
            channel = held.heads.shape[2]
            pairs.append((torch.zeros(paths, BLOCK, channel), torch.zeros(paths, channel, images)))
            for _ in range(neurons // BLOCK):
                for rows, own in pairs:
                    rows @ own

    return multiply


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
    room = pixels.new_empty(max(lens.room(len(pixels)) for lens in lenses))

    def sweep() -> None:
        trace = clip.trace(pixels, layers)
        for lens, (mean, outside) in zip(lenses, means, strict=True):
            lens.centred(trace, mean, outside, room)

    return sweep


if __name__ == "__main__":
    main()
