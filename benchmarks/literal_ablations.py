"""Ablations of one image by materialising every effect, as the paper's authors do, against `LayerAblation`.

    python benchmarks/literal_ablations.py                      # layers 10, 9, 8, 5, 0 of ViT-B-32's shape
    python benchmarks/literal_ablations.py --layers 10 --batch 8

The literal version is organised like the authors' code: one image and one layer at a time, every neuron's effect
materialised for each (later layer, head) and token (`literal_effects.materialised`), summed, and the four ablations of
Fig. 3 taken from the effects. Ours takes a batch and never forms an effect; both give the same four vectors per image,
or the program ends with an error. "Given the trace" excludes the forward pass; "with forward pass" adds each side's
own: at batch 1 and once per layer for the literal version, whereas ours could share one among all layers but does not
here. Random weights and biases, equal split, thresholds at the 98th percentile of the norms of 64 pictures of noise.
Both sides run in this process in turn, ours before and after; reported are medians. Freed memory is kept, since
requesting 0.5 GB tensors from the system again would take the literal side about twice as long. Expect ten minutes or
more and 7 GiB, nearly all of it the literal side's, whose memory does not grow with the layer: nothing is chunked.
"""

import argparse
import ctypes
import os
import resource
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from effects import moments
from literal_effects import materialised, random_clip, seconds
from machine import describe
from torch import Tensor

from clipneuron import Clip, SecondOrderLens
from clipneuron.lens.ablations import LayerAblation, Replacement
from clipneuron.lens.trace import Trace

AGREE = 1e-3
"""Largest difference of an ablation, relative to the change by ablating all: float32 sums of thousands of effects."""


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of mallopt(3)."""


@dataclass(frozen=True)
class Known:
    """What both sides know about D, in the literal side's form: every b_n in the joint space."""

    means: Tensor
    thresholds: Tensor
    directions: Tensor


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--layers", type=int, nargs="+", default=[10, 9, 8, 5, 0])
    parser.add_argument("--batch", type=int, default=32, help="images at a time for ours")
    parser.add_argument("--repeats", type=int, default=3, help="of ours, before and after")
    arguments = parser.parse_args()
    keep_memory()
    clip = random_clip(arguments.model)
    pixels = torch.randn(arguments.batch, 3, *clip.image_size)
    print(describe())
    print(
        f"{arguments.model}, float32, literal batch 1, ours batch {arguments.batch}, "
        f"load {os.getloadavg()[0]:.1f} at the start; seconds per image and layer"
    )
    print(
        f"{'':12}{'given the trace':^33}{'with forward pass':^33}\n{'layer':>5}{'paths':>6} "
        + 2 * f"{'literal':>11}{'ours':>11}{'ratio':>11}"
        + f"{'largest difference':>20}"
    )
    for layer in arguments.layers:
        with torch.inference_mode():
            compare(clip, layer, pixels, arguments.repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.1f} GiB")


def keep_memory() -> None:
    """Make glibc keep freed memory, in favour of the literal side; without glibc do nothing."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def compare(clip: Clip, layer: int, pixels: Tensor, repeats: int) -> None:
    """Time both sides and print the layer's row; RuntimeError where their numbers differ."""
    ablation, known = prepared(clip, layer, pixels.shape)
    ours(clip, ablation, pixels, 1)
    before = ours(clip, ablation, pixels, repeats)
    forward, trace = seconds(lambda: clip.trace(pixels[:1], (layer,)))
    spent, expected = seconds(lambda: literal(clip, trace, layer, known))
    both = before + ours(clip, ablation, pixels, repeats)
    own, with_forward = (statistics.median(column) for column in zip(*both, strict=True))
    found = ablation.changes(clip.trace(pixels[:1], (layer,), writes=True))
    cells = [spent, own, spent / own, spent + forward, with_forward]
    cells.append((spent + forward) / with_forward)
    shown = "".join(f"{cell:11.0f}" if cell > 100 else f"{cell:11.4f}" for cell in cells)
    print(f"{layer:5}{clip.weights.paths(layer):6} {shown}{difference(found, expected):20.1e}")


def ours(
    clip: Clip, ablation: LayerAblation, pixels: Tensor, repeats: int
) -> list[tuple[float, float]]:
    """Seconds per image of the ablations, and of them with their forward pass, in every repeat."""
    times = []
    for _ in range(repeats):
        forward, trace = seconds(lambda: clip.trace(pixels, (ablation.lens.layer,), writes=True))
        spent, _ = seconds(lambda trace=trace: ablation.changes(trace))
        times.append((spent / len(pixels), (spent + forward) / len(pixels)))
    return times


def literal(clip: Clip, trace: Trace, layer: int, known: Known) -> dict[str, Tensor]:
    """What each ablation adds to one image's representation, from its effects one by one."""
    effects = materialised(clip.weights, trace, layer)[0]
    centred = effects - known.means
    is_large = centred.norm(dim=-1) > known.thresholds
    without = known.means.sum(0) - effects.sum(0)
    projections = (centred * known.directions).sum(-1, keepdim=True)
    return {
        "all": without,
        "large": without + centred[~is_large].sum(0),
        "small": without + centred[is_large].sum(0),
        "pc": without + (projections * known.directions).sum(0),
    }


def difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest of all ablations', relative to ablating all; RuntimeError above AGREE."""
    scale = expected["all"].norm()
    apart = {name: float((found[name][0] - expected[name]).norm() / scale) for name in expected}
    if found.keys() != expected.keys() or max(apart.values()) > AGREE:
        raise RuntimeError(f"the two sides disagree by {apart}, more than {AGREE}: one is wrong")
    return max(apart.values())


def prepared(clip: Clip, layer: int, shape: Sequence[int]) -> tuple[LayerAblation, Known]:
    """Ours, narrowed as in the stage, and the same means, thresholds and directions in the joint space."""
    ((lens, seen),) = moments(clip, shape, (layer,), "equal")
    (mean, rest), narrow = (part.float() for part in seen.mean), lens.narrowed(seen.axes)
    trace = clip.trace(torch.randn(64, *shape[1:]), (layer,))
    norms = narrow.centred(trace, mean, rest @ seen.axes.float()).norms
    thresholds = norms.quantile(0.98, dim=0)
    directions = torch.nn.functional.normalize(torch.randn(clip.neurons, clip.embed), dim=1)
    replacement = {"pc": Replacement(directions, directions)}
    ablation = LayerAblation(lens, mean, rest, thresholds, replacement, axes=seen.axes)
    return ablation, Known(in_joint_space(lens, mean, rest), thresholds, directions)


def in_joint_space(lens: SecondOrderLens, mean: Tensor, rest: Tensor) -> Tensor:
    """b_n of every neuron [neuron, embed]."""
    starts = range(0, len(mean), 256)
    parts = [
        torch.einsum("np,npd->nd", mean[at : at + 256], lens.basis(slice(at, at + 256)))
        for at in starts
    ]
    return torch.cat(parts) + rest @ lens.remainder_basis


if __name__ == "__main__":
    main()
