"""First directions in coefficient space against numpy's SVD of materialised effects.

    python benchmarks/directions.py                       # layer 9 of ViT-B-32's shape, 3072 neurons, top 100
    python benchmarks/directions.py --split centered --neurons 512
    python benchmarks/directions.py --model ViT-L-14 --layers all --neurons 16      # the stage, layer by layer
    python benchmarks/directions.py --model ViT-L-14 --layers 0 --coordinates all --neurons 256

Both get the same centred top effects of a random-weight model on random pictures: ours as coefficients, numpy's as
the [neuron, top, embed] array, whose construction is timed separately. Ratios are per neuron in one process; directions
are compared where the first singular value is clear of the second (ratio below 0.98).

With --layers, the stage `directions` itself works on a block of made-up summaries of every layer of the model's
shape, in coefficient space and in the way that it chooses: milliseconds of the processor per neuron (load of others
does not count), the memory that comes on top, and how far the chosen way's results are from float64's, of effects of
the same basis. It fails where the chosen way takes longer than --bar.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from machine import describe, resident

from clipneuron import SecondOrderLens, load_clip
from clipneuron.config.values.layers import layers_or_all_in
from clipneuron.engine.stage import Named
from clipneuron.lens.directions import directions_of_effects, first_directions, is_by_effects
from clipneuron.lens.summaries import BINS, Moments, Summary, top_keys
from clipneuron.readers.arrow import tensor
from clipneuron.readers.lenses import Lenses
from clipneuron.readers.summaries import BlockSummary
from clipneuron.readers.sweep import MeanEffect, NeuronBlock, Remainders
from clipneuron.sweep.stages import directions as stages


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--layer", type=int, default=9)
    parser.add_argument("--split", choices=("equal", "centered"), default="equal")
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument("--neurons", type=int, default=3072, help="how many to compare")
    parser.add_argument("--block", type=int, default=256, help="neurons per block, as in a run")
    parser.add_argument("--model", default="ViT-B-32", help="open_clip architecture")
    parser.add_argument(
        "--layers", type=layers_or_all_in, metavar="all|0,6-9", help="the stage, layer by layer"
    )
    parser.add_argument(
        "--coordinates", default="64", help="axes of remainders, or all (with --layers)"
    )
    parser.add_argument("--bar", type=float, default=8.0, help="most ms per neuron (default: 8)")
    arguments = parser.parse_args()
    clip = load_clip(open_clip.create_model(arguments.model, pretrained=None))
    if arguments.layers is not None:
        sys.exit(layer_by_layer(clip, arguments))
    lens = SecondOrderLens(clip, arguments.layer, split=arguments.split)
    print(describe())
    with torch.inference_mode():
        coefficients, remainders, axes = centred(clip, lens, arguments.top)
        ours = theirs = making = 0.0
        cosines = []
        for start in range(0, arguments.neurons, arguments.block):
            neurons = slice(start, min(start + arguments.block, arguments.neurons))
            begun = time.perf_counter()
            basis = lens.basis(neurons)
            mine = coefficients[:, neurons].transpose(0, 1)
            shared = remainders.expand(neurons.stop - start, -1, -1)
            found = first_directions(mine, basis, shared, axes)
            ours += time.perf_counter() - begun
            begun = time.perf_counter()
            effects = (mine @ basis + shared @ axes).numpy()
            making += time.perf_counter() - begun
            begun = time.perf_counter()
            svd = [np.linalg.svd(own, full_matrices=False) for own in effects]
            theirs += time.perf_counter() - begun
            clear = np.array([sizes[1] < 0.98 * sizes[0] for _, sizes, _ in svd])
            right = np.stack([vectors[0] for *_, vectors in svd])
            cosines.append(np.abs((found.vectors.numpy() * right).sum(1))[clear])
    cosine = np.concatenate(cosines)
    print(
        f"layer {arguments.layer}, split {arguments.split}, top {arguments.top}, {arguments.neurons} neurons"
    )
    print(
        f"coefficient space          {ours:8.2f} s  {ours / arguments.neurons * 1e3:7.3f} ms/neuron"
    )
    print(
        f"numpy SVD of the effects   {theirs:8.2f} s  {theirs / arguments.neurons * 1e3:7.3f} ms/neuron"
    )
    print(f"(making those effects      {making:8.2f} s)")
    print(f"ratio                      {theirs / ours:8.1f} x")
    print(
        f"largest 1 - |cosine|       {1 - cosine.min():8.1e}   ({len(cosine)} neurons with a clear first direction)"
    )


def layer_by_layer(clip, arguments) -> int:
    """A line per layer; 1 where one takes longer than it may."""
    neurons, top, block = min(arguments.neurons, arguments.block), arguments.top, arguments.block
    print(describe())
    print(f"{arguments.model}, split {arguments.split}, top {top}, {neurons} neurons of a layer\n")
    print(
        "| layer | paths | axes | way | before, ms | now, ms | before, GB | now, GB | 1 - cosine | explained off by |"
    )
    print("|" + "---|" * 10)
    slowest = 0.0
    for layer in arguments.layers or range(clip.layers - 1):
        lens = Lenses((layer,), arguments.split, True)
        stage = stages.DirectionsStage(
            lambda: clip, lens, clip.neurons, block, None, Named("calibrate"), device="cpu"
        )
        loaded, mean = made_up(lens.one(clip, layer), neurons, top, arguments.coordinates)
        worker = stage.build({layer: mean})
        sizes = clip.weights.paths(layer), mean.axes.shape[1], top, clip.embed
        chosen = is_by_effects(*sizes)
        _, now, more = taken(worker, loaded)
        before, least = now, more
        if chosen:
            stages.is_by_effects = lambda *_: False
            _, before, least = taken(stage.build({layer: mean}), loaded)
            stages.is_by_effects = is_by_effects
        found, again, _ = taken(worker, loaded)
        now = min(now, again)
        slowest = max(slowest, now / neurons)
        away, share = errors(worker, loaded, found)
        way = "effects" if chosen else "paths"
        print(
            f"| {layer} | {sizes[0]} | {sizes[1]} | {way} | {before / neurons * 1e3:.2f} | "
            f"{now / neurons * 1e3:.2f} | {least / 1e9:.2f} | {more / 1e9:.2f} | {away:.1e} | {share:.1e} |",
            flush=True,
        )
    print(f"\nslowest layer: {slowest * 1e3:.2f} ms per neuron; the bar is {arguments.bar:g}")
    return int(slowest * 1e3 > arguments.bar)


def made_up(lens, neurons: int, top: int, coordinates: str) -> tuple[BlockSummary, MeanEffect]:
    """Summaries of a layer's first neurons whose top effects have a direction that leads, as real ones do."""
    generator = torch.Generator().manual_seed(lens.layer)
    full = len(lens.remainder_basis)
    count = full if coordinates == "all" else min(int(coordinates), full)
    axes = torch.linalg.qr(torch.randn(full, max(count, 1), generator=generator)).Q[:, :count]
    rows = torch.randn(neurons, top, lens.paths, generator=generator)
    common = torch.randn(neurons, 1, lens.paths, generator=generator)
    rows += 2 * common * torch.randn(neurons, top, 1, generator=generator)
    images = torch.arange(top).expand(neurons, -1)
    sums = torch.zeros(3, neurons, dtype=torch.float64)
    summary = Summary(
        5000,
        *sums,
        torch.ones(neurons, BINS, dtype=torch.int64),
        top_keys(torch.ones(neurons, top), images),
        rows,
    )
    remainders = torch.randn(top, count, generator=generator) * 1e-3
    mean = MeanEffect(
        torch.zeros(lens.weights.neurons, lens.paths, dtype=torch.float64),
        torch.zeros(full, dtype=torch.float64),
        axes.double(),
        5000,
    )
    block = NeuronBlock(lens.layer, 0, neurons)
    rows = remainders.expand(neurons, -1, -1).contiguous()
    return BlockSummary(
        block, summary, Remainders(rows, torch.zeros(neurons, top, dtype=torch.bool))
    ), mean


def taken(worker, loaded: BlockSummary) -> tuple[object, float, int]:
    """The block's table, seconds of the processor without the lens's making, and bytes on top of what was held."""
    rest = BlockSummary(
        NeuronBlock(loaded.block.layer, 0, 1),
        first_of(loaded.summary),
        loaded.remainders.of(slice(1)),
    )
    worker.process(rest, lambda _: None)
    held = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    begun = time.process_time()
    table = worker.process(loaded, lambda _: None).tables["directions"]
    return table, time.process_time() - begun, resident("VmHWM") - held


def first_of(summary: Summary) -> Summary:
    """The first neuron alone."""
    tensors = {name: each[:1] for name, each in vars(summary).items() if name != "count"}
    return Summary(count=summary.count, **tensors)


def errors(worker, loaded: BlockSummary, table) -> tuple[float, float]:
    """1 - cosine, signs included, and the relative error of the explained variance, against float64; the worst."""
    layer, block = worker._kept, loaded.block
    basis = layer.lens.basis(block.neurons).double()
    effects = loaded.summary.coefficients.double() @ basis
    effects += loaded.remainders.double() @ layer.axes.double()
    exact = directions_of_effects(effects)
    vectors = tensor(table["direction"]).double()
    cosines = (vectors * exact.vectors).sum(1) / vectors.norm(dim=1)
    explained = tensor(table["explained_variance"]).double()
    wrong = (explained / exact.explained_variance - 1).abs()
    return float((1 - cosines).max()), float(wrong.max())


def centred(
    clip, lens: SecondOrderLens, images: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centred coefficients [image, neuron, path] of random pictures, their remainders [image, axis] and the axes.

    The remainders are along their principal axes [axis, embed], as in a run.
    """
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(0, images, 20):
        pixels = torch.randn(20, 3, *clip.image_size, generator=generator)
        trace = clip.trace(pixels, (lens.layer,))
        found.append((lens.coefficients(trace), lens.remainders(trace)))
    coefficients, remainders = (torch.cat(parts)[:images] for parts in zip(*found, strict=True))
    axes = Moments.of(coefficients, remainders).axes.to(remainders)
    remainders = (remainders - remainders.mean(0)) @ axes
    return coefficients - coefficients.mean(0), remainders, axes.mT @ lens.remainder_basis


if __name__ == "__main__":
    main()
