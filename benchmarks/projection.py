"""Fig. 9 of ViT-L-14 on one GPU, projected: all 23 layers ablated over 5,000 pictures, with the sweep over D before.

    python benchmarks/projection.py                     # measures ViT-B-32's shape for five minutes, then prints
    python benchmarks/projection.py --repeats 3 --batch 16

A projection: it has not been run on a GPU. It is based on

counted     floating-point operations of each pass, by formulas that are first checked against PyTorch's counter on a
            small model, to the last operation; coordinates of the remainders by their bound 2 A + 3 for A paths. A
            trace computes its last block for the class token alone: operations are added to what is left
measured    how much longer than a plain forward pass each pass takes on this CPU, ViT-B-32's shape, random weights,
            all layers: the efficiency of the added operations relative to the forward pass's
assumed     that added operations have the same efficiency, relative to the forward pass, for ViT-L-14 and on a GPU;
            that 5 % of the effects are large; that pictures arrive as fast as needed; and what a row's name states
cited       forward passes per second, as in benchmarks/scale.py; NVIDIA's data sheets (A100, H100 SXM, RTX 4090, dense)

Where what norms are taken from does not fit into 80 % of a GPU's memory, a pass runs several times, over groups of
layers. It is read once per batch of 32: where that takes longer than the added operations, its time is added instead.
"Once" is the work that does not grow with the pictures: what norms are taken from, made twice, and the directions of
all neurons, in float64.
"""

import argparse
import math
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import open_clip
import torch
from ablations import Work, calibrated_ablation, one_pass, timed
from effects import moments
from machine import describe
from open_clip.transformer import VisionTransformer
from projection_model import Shape
from scale import A100_FLOPS, RTX_4090, row, table
from shards import flops
from torch.utils.flop_counter import FlopCounterMode

from clipneuron import Clip, load_clip
from clipneuron.lens.directions import first_directions
from clipneuron.lens.summaries import Collector, Moments
from clipneuron.models.allocation import keep_freed_memory

DATA, EVALUATED, TOP, BATCH = 5_124, 5_000, 100, 32
AUTHORS = 5 * 86_400.0
"""Seconds: "the per-layer mean-ablation results for ViT-L-14 - took 5 days", on one A100 (appendix A.7)."""


@dataclass(frozen=True)
class GPU:
    """Operations per second of forward passes, and of float64 products at the same share of the peak; memory."""

    name: str
    rate: float
    double: float
    memory: float
    bandwidth: float


SHARE = A100_FLOPS / 312e12
"""Of the A100's float16 peak, what the cited forward passes reach."""


def gpus(forward: float) -> list[GPU]:
    """From the cited rates; `forward` is the operations of a forward pass of ViT-L-14."""
    return [
        GPU("A100, float16, cited", A100_FLOPS, 9.7e12 * SHARE, 40e9, 1.555e12),
        GPU("RTX 4090, mixed, cited", RTX_4090[1] * forward, 1.3e12 * SHARE, 24e9, 1.008e12),
        GPU("A100, float32, same share of peak", 19.5e12 * SHARE, 9.7e12 * SHARE, 40e9, 1.555e12),
        GPU("H100, float16, same share of peak", 989.4e12 * SHARE, 34e12 * SHARE, 80e9, 3.35e12),
        GPU("H100, float32, same share of peak", 67e12 * SHARE, 34e12 * SHARE, 80e9, 3.35e12),
    ]


class Passes:
    """The three passes over a model's pictures, all layers at once, calibrated on noise."""

    def __init__(self, clip: Clip, pixels: torch.Tensor) -> None:
        self.clip, self.pixels, self.shape = clip, pixels, Shape.of(clip)
        layers = tuple(self.shape.swept)
        found = moments(clip, pixels.shape, layers, "equal")
        self.wide = [lens for lens, _ in found]
        trace = clip.trace(torch.randn(64, *pixels.shape[1:]), layers)
        self.layers = [calibrated_ablation(lens, seen, trace, 0) for lens, seen in found]

    @property
    def works(self) -> dict[str, Work]:
        """By name."""
        ablations = one_pass(self.clip, self.pixels, self.layers)
        return {"calibrate": self.calibrate, "effects": self.sweep(), "ablations": ablations}

    def calibrate(self) -> None:
        """Means."""
        trace = self.clip.trace(self.pixels, self.shape.swept)
        for lens in self.wide:
            Moments.summed(lens.coefficient_sum(trace), lens.remainders(trace))

    def sweep(self) -> Work:
        """Norms and top effects, every batch with new pictures."""
        paths = [(item.lens.weights.neurons, item.lens.paths) for item in self.layers]
        collectors = [Collector(*pair, TOP) for pair in paths]
        images = torch.arange(len(self.pixels))

        def work() -> None:
            trace = self.clip.trace(self.pixels, self.shape.swept)
            for item, collector in zip(self.layers, collectors, strict=True):
                found = item.lens.centred(trace, item.mean, item.mean_remainder)
                collector.add(found.norms, images, found.coefficients)
            images.add_(len(images))

        return work

    @torch.inference_mode()
    def added(self) -> dict[str, float]:
        """Operations per picture that each pass adds, with this model's coordinates and large effects."""
        trace = self.clip.trace(self.pixels, self.shape.swept, writes=True)
        totals = dict.fromkeys(("calibrate", "effects", "ablations"), float(self.shape.capture))
        for lens, item in zip(self.wide, self.layers, strict=True):
            layer = lens.layer
            held, wide = len(item.lens.remainder_basis), len(lens.remainder_basis)
            large = int((item.ablated(trace).norms > item.thresholds).sum(1).max())
            totals["calibrate"] += self.shape.calibrate(layer, wide)
            totals["effects"] += self.shape.effects(layer, held)
            totals["ablations"] += self.shape.ablations(layer, held, wide, large)
        return totals


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=BATCH, help="images per forward pass")
    parser.add_argument("--repeats", type=int, default=8, help="timed repeats, after one warm-up")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    keep_freed_memory()  # as workers do
    print(f"{describe()}, load {os.getloadavg()[0]:.1f} at the start")
    check()
    clip = load_clip(open_clip.create_model("ViT-B-32", pretrained=None))
    passes = Passes(clip, torch.randn(arguments.batch, 3, *clip.image_size))
    ratios = measured(passes, arguments.repeats)
    small, large = flops("ViT-B-32"), flops("ViT-L-14")
    shape = Shape.named("ViT-L-14")
    shares = {name: value / small for name, value in passes.added().items()}
    bounds = {name: value / large for name, value in shape.bounds().items()}
    traced = 1 - passes.shape.spared / small
    efficiency = {name: shares[name] / max(ratios[name] - traced, 1e-9) for name in shares}
    added = {name: bounds[name] / efficiency[name] for name in shares}
    costs(ratios, shares, efficiency, bounds, added)
    projected(shape, large, added, 1 - shape.spared / large)


def check() -> None:
    """RuntimeError unless the formulas count what PyTorch's counter does, on a model of four small layers."""
    tower = VisionTransformer(32, 8, 32, 4, 4, 4.0, output_dim=24)
    clip = load_clip(tower)
    passes = Passes(clip, torch.randn(5, 3, 32, 32))
    forward = counted(lambda: clip.visual(passes.pixels)) - passes.shape.spared * len(passes.pixels)
    expected = passes.added()
    for name, work in passes.works.items():
        found = counted(work) - forward
        if found != expected[name] * len(passes.pixels):
            raise RuntimeError(
                f"{name}: {found:,.0f} operations counted, {expected[name] * len(passes.pixels):,.0f} by formula"
            )
    print("formulas and PyTorch's counter agree on a small model, for every pass")


def counted(work: Callable[[], object]) -> float:
    """Operations of the second call: the first makes what is kept."""
    in_place = {torch.ops.aten.baddbmm_: _in_place}
    with torch.inference_mode(), _countable_attention():
        work()
        with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
            work()
    return float(counter.get_total_flops())


@contextmanager
def _countable_attention() -> Iterator[None]:
    """Without the kernel of whole attention layers, whose products the counter does not see."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _in_place(total: object, left: list[int], right: list[int], **_: object) -> int:
    """Those of baddbmm_, which the counter leaves out."""
    return 2 * left[0] * left[1] * left[2] * right[2]


def measured(passes: Passes, repeats: int) -> dict[str, float]:
    """Median times of the passes in plain forward passes timed just before."""
    rounds = timed(lambda: passes.clip.visual(passes.pixels), passes.works, repeats)
    return {
        name: statistics.median(own / plain for plain, own in (here[name] for here in rounds))
        for name in rounds[0]
    }


def costs(*columns: dict[str, float]) -> None:
    """Print the passes' costs in forward passes."""
    heads = (
        "pass",
        "ViT-B-32, time, measured",
        "operations added, counted",
        "their relative efficiency",
        "ViT-L-14, operations added, counted",
        "time added, projected",
    )
    table("Passes over all layers, in forward passes", heads)
    for name in columns[0]:
        row(name, *(f"{column[name]:.2f}" for column in columns))


def projected(shape: Shape, forward: float, added: dict[str, float], traced: float) -> None:
    """Print the table of Fig. 9; `traced`: a trace, before it adds anything, in forward passes."""
    double = directions(shape)
    print(
        f"\nViT-L-14: {forward / 1e9:.0f} GFLOP per forward pass; products for norms {shape.held / 1e9:.0f} GB, "
        f"made with {shape.once() / 1e12:.0f} TFLOP; directions {double / 1e12:.0f} TFLOP in float64"
    )
    heads = (
        "forward passes/s",
        "groups of layers",
        "sweep over D",
        "once",
        "ablations",
        "together",
    )
    table("Fig. 9 of ViT-L-14 on one GPU, projected", ("GPU", *heads, "the authors' 5 days"))
    for gpu in gpus(forward):
        rate, groups = gpu.rate / forward, math.ceil(shape.held / (0.8 * gpu.memory))
        reading = shape.held / BATCH / gpu.bandwidth
        effects, ablating = (max(added[name] / rate, reading) for name in ("effects", "ablations"))
        sweep = DATA * ((traced + added["calibrate"] + groups * traced) / rate + effects)
        once = shape.once() / gpu.rate + double / gpu.double
        ablations = EVALUATED * (groups * traced / rate + ablating)
        whole = sweep + once + ablations
        minutes = (f"{seconds / 60:.1f} min" for seconds in (sweep, once, ablations, whole))
        row(gpu.name, f"{rate:,.0f}", str(groups), *minutes, f"{AUTHORS / whole:,.0f} x as long")


def directions(shape: Shape) -> float:
    """Operations of all neurons' first directions, counted on one random neuron of each layer."""
    return shape.neurons * math.fsum(_of_one(shape, layer) for layer in shape.swept)


def _of_one(shape: Shape, layer: int) -> float:
    paths, held = shape.paths(layer), shape.coordinates(layer)
    axes = torch.linalg.qr(torch.randn(shape.embed, held)).Q.T
    parts = (
        torch.randn(1, TOP, paths),
        torch.randn(1, paths, shape.embed),
        torch.randn(1, TOP, held),
    )
    factored = (paths + held) ** 3 / 3  # Cholesky's, which the counter leaves out
    return counted(lambda: first_directions(*parts, axes)) + factored


if __name__ == "__main__":
    main()
