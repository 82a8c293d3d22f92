"""The cost of ablations, relative to a plain forward pass: ViT-B-32's shape, random weights, on this machine.

    python benchmarks/ablations.py                       # both splits: all layers; layer 9 with 18 sets of texts
    python benchmarks/ablations.py --batch 16 --repeats 3 --splits equal

An ablation pass is one forward pass with capture (including the MLPs' outputs) and, for every layer, all of Fig. 3: all
neurons, only large effects, only small effects, reconstruction from one direction. "texts" adds Fig. 4's 6 sizes of 3
pools. Indirect effects run the later blocks again for each neuron; reported are the time per image and neuron, and the
operations according to `resume_flops`. Each repeat times everything in turn; reported are medians of the ratios to the
plain forward pass timed just before. Means, directions and thresholds (the 98th percentile of 64 norms) come from
pictures of noise; the share of the timed effects above the thresholds is printed. Times are core-seconds.
"""

import argparse
import os
import statistics
from collections.abc import Callable, Iterable
from functools import partial

import open_clip
import torch
from effects import moments
from machine import describe
from shards import flops
from timing import seconds

from clipneuron import Clip, SecondOrderLens, load_clip
from clipneuron.lens.ablations import LayerAblation, Replacement
from clipneuron.lens.indirect import indirect_effects
from clipneuron.lens.summaries import Moments
from clipneuron.lens.trace import Trace
from clipneuron.models.allocation import keep_freed_memory
from clipneuron.models.clip.interventions import halted, resume, resume_flops

Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="an open_clip architecture")
    parser.add_argument("--batch", type=int, default=32, help="images per forward pass")
    parser.add_argument("--repeats", type=int, default=10, help="timed repeats, after one warm-up")
    parser.add_argument("--neurons", type=int, default=16, help="neurons of the indirect effects")
    parser.add_argument("--splits", nargs="+", default=["equal", "centered"])
    arguments = parser.parse_args()
    keep_freed_memory()  # as workers do
    clip = load_clip(open_clip.create_model(arguments.model, pretrained=None))
    pixels = torch.randn(arguments.batch, 3, *clip.image_size)
    print(describe())
    print(
        f"{arguments.model}, batch {arguments.batch}, {arguments.repeats} repeats, float32, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )
    for split in arguments.splits:
        everything = ablations(clip, pixels, range(clip.layers - 1), split, 0)
        texts = ablations(clip, pixels, [clip.layers - 3], split, 18)
        print(f"{split}: {share_above(clip, pixels, everything):.1%} of the effects are large")
        passes = {
            f"all layers, {split}": one_pass(clip, pixels, everything),
            f"texts, layer L-3, {split}": one_pass(clip, pixels, texts),
        }
        report(clip, pixels, passes, arguments)
    indirect(clip, pixels, arguments)


def ablations(
    clip: Clip, pixels: torch.Tensor, layers: Iterable[int], split: str, texts: int
) -> list[LayerAblation]:
    """Every layer's ablations, calibrated on noise, with `texts` sets of random sparse sums of texts."""
    layers = tuple(layers)
    trace = clip.trace(torch.randn(64, *pixels.shape[1:]), layers)
    found = moments(clip, pixels.shape, layers, split)
    return [calibrated_ablation(lens, seen, trace, texts) for lens, seen in found]


@torch.inference_mode()
def calibrated_ablation(
    lens: SecondOrderLens, seen: Moments, trace: Trace, texts: int
) -> LayerAblation:
    """One layer's ablations, with the 98th percentile of each neuron's norms as thresholds."""
    (mean, rest), narrow = (part.float() for part in seen.mean), lens.narrowed(seen.axes)
    norms = narrow.centred(trace, mean, rest @ seen.axes.float()).norms
    neurons, embed = lens.weights.neurons, lens.weights.embed
    direction = torch.nn.functional.normalize(torch.randn(neurons, embed), dim=1)
    replacements = {"pc": Replacement(direction, direction)}
    for number in range(texts):
        replacements[f"texts {number}"] = Replacement(direction, torch.randn(neurons, embed))
    thresholds = norms.quantile(0.98, dim=0)
    return LayerAblation(lens, mean, rest, thresholds, replacements, axes=seen.axes)


def one_pass(clip: Clip, pixels: torch.Tensor, layers: list[LayerAblation]) -> Work:
    """One forward pass and all changes of all layers."""
    numbers = [ablation.lens.layer for ablation in layers]

    def work() -> None:
        trace = clip.trace(pixels, numbers, writes=True)
        for ablation in layers:
            ablation.changes(trace)

    return work


@torch.inference_mode()
def share_above(clip: Clip, pixels: torch.Tensor, layers: list[LayerAblation]) -> float:
    """The share of the timed pictures' effects that are treated one by one."""
    trace = clip.trace(pixels, [ablation.lens.layer for ablation in layers])
    shares = []
    for ablation in layers:
        norms = ablation.lens.centred(trace, ablation.mean, ablation.mean_remainder).norms
        shares.append(float((norms > ablation.thresholds).float().mean()))
    return statistics.mean(shares)


def report(
    clip: Clip, pixels: torch.Tensor, passes: dict[str, Work], options: argparse.Namespace
) -> None:
    """Print one row per pass: its time per image, and its ratio to the plain forward pass."""
    rounds = timed(partial(clip.visual, pixels), passes, options.repeats)
    for name in passes:
        ratio = statistics.median(own / plain for plain, own in (here[name] for here in rounds))
        each = statistics.median(here[name][1] for here in rounds) / len(pixels) * 1e3
        print(f"{name:26} {each:8.1f} core-ms/image, {ratio:5.2f} x the plain forward pass")


def indirect(clip: Clip, pixels: torch.Tensor, options: argparse.Namespace) -> None:
    """Print the cost of an indirect effect per image and neuron, for the last layers."""
    some, neurons, forward = pixels[:4], range(options.neurons), flops(options.model)
    for layer in range(clip.layers - 4, clip.layers - 1):
        halt = halted(clip.visual, some, [layer])[1][layer]
        writes, means = clip.weights.blocks[layer].neuron_writes, halt.activations.mean(0)
        rest = partial(resume, clip.visual, layer)
        work = partial(indirect_effects, halt, writes, means, rest, neurons)
        rounds = timed(partial(clip.visual, some), {"indirect": work}, options.repeats)
        pairs = [here["indirect"] for here in rounds]
        each = [own / len(some) / len(neurons) for _, own in pairs]
        share = statistics.median(own / plain / len(neurons) for plain, own in pairs)
        print(
            f"indirect, layer {layer:2}: {statistics.median(each) * 1e3:6.2f} core-ms per image and neuron, "
            f"{share:.3f} of a plain forward pass; {resume_flops(clip.visual, layer) / 1e9:.3f} GFLOP, "
            f"{resume_flops(clip.visual, layer) / forward:.3f} of its operations: the floor"
        )


@torch.inference_mode()
def timed(
    plain: Work, works: dict[str, Work], repeats: int
) -> list[dict[str, tuple[float, float]]]:
    """Seconds of the plain forward pass just before, and of every work, in every repeat after a warm-up."""
    rounds = [
        {name: (seconds(plain)[0], seconds(work)[0]) for name, work in works.items()}
        for _ in range(repeats + 1)
    ]
    return rounds[1:]


if __name__ == "__main__":
    main()
