"""What benchmarks/gpu.py measures of one model in one type: forward passes, and all that the stages add to them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from effects import moments
from gpu_bench import Bench
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.ablations import LayerAblation, Replacement
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.indirect import indirect_effects
from clipneuron.lens.summaries import Collector, Moments
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.capture import CompiledCapture
from clipneuron.models.clip.interventions import halted, resume
from clipneuron.models.clip.model import Clip
from clipneuron.models.clip.preprocessing.uploads import uploaded

ALL_LAYERS = {"ViT-B-32": 1.15, "ViT-L-14": 1.08}
"""Goals: a forward pass with the norms of all layers, in forward passes."""
FED = 0.85
"""Goal: pictures per second from the host's memory, in those from the device's."""
FIGURE_9 = 300.0
"""Goal: seconds for the ablations of all layers of ViT-L-14 on a tenth of ImageNet's test set."""
PICTURES = 5_000
TOP = 100
"""Pictures of a neuron that are kept; its effects in them are what the paper calls large."""
SHARD = 8
"""Batches that are fed one after another, as those of a shard are."""
COMPILING = 90.0
"""Seconds that have to be left where the compiler begins."""


@dataclass(frozen=True)
class Passes:
    """A model, a batch of its pixels, and the seconds of a plain forward pass with them."""

    bench: Bench
    clip: Clip
    title: str
    pixels: Tensor
    plain: float

    @property
    def family(self) -> str:
        """ViT-B-32 of ViT-B-32-quickgelu."""
        return self.title.partition(",")[0].removesuffix("-quickgelu")


def measure(bench: Bench, clip: Clip, title: str) -> None:
    """Print a row for each kind of pass."""
    pixels = torch.randn(bench.batch, 3, *clip.image_size).to(bench.device, clip.dtype)
    plain, used = bench.timed(lambda: clip.visual(pixels))
    bench.row("forward", plain, plain, used)
    passes, every = Passes(bench, clip, title, pixels, plain), tuple(range(clip.layers - 1))
    sweeps(passes, "late layers", every[-3:])
    sweeps(passes, "all layers", every)
    ablations(passes, every)
    indirect(passes)
    compiled(passes)


def sweeps(passes: Passes, which: str, layers: tuple[int, ...]) -> None:
    """Forward passes with norms and summaries, from the device's memory and from the host's."""
    bench, total, most = passes.bench, 0.0, 0.0
    groups = [*_groups(bench, passes.clip, layers)]
    for group in groups:
        sweep = _sweep(passes.clip, passes.pixels, group)
        seconds, used = bench.timed(partial(sweep, passes.pixels))
        total, most = total + seconds, max(most, used)
    several = f" in {len(groups)} passes" if len(groups) > 1 else ""
    bench.row(f"forward + {which}{several}", total, passes.plain, most)
    goal = ALL_LAYERS.get(passes.family)
    if which == "all layers" and goal:
        bench.goal(f"all layers, {passes.title}, in forward passes", total / passes.plain, goal)
    if which == "late layers" and len(groups) == 1:
        shape = bench.batch, 3, *passes.clip.image_size
        read = torch.randint(0, 256, shape, dtype=torch.uint8)
        shard, used = bench.timed(partial(_feed, bench, passes.clip, sweep, read))
        bench.row(f"forward + {which}, fed by the host", shard / SHARD, passes.plain, used)
        share = total / (shard / SHARD)
        bench.goal(f"fed, {passes.title}, of what memory gives", share, FED, above=True)


def _groups(bench: Bench, clip: Clip, layers: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Layers whose products for norms and top images fit together into half of the free memory."""
    free, group, taken = bench.free, list[int](), 0.0
    for layer in layers:
        paths = clip.weights.paths(layer)
        channel = clip.weights.width // clip.weights.heads
        need = 4.0 * clip.neurons * paths * (paths + channel + TOP)
        if group and taken + need > free / 2:
            yield tuple(group)
            group, taken = [], 0.0
        group.append(layer)
        taken += need
    yield tuple(group)


def _calibrated(
    clip: Clip, pixels: Tensor, layers: tuple[int, ...]
) -> list[tuple[SecondOrderLens, Moments]]:
    return moments(clip, pixels.shape, layers, "equal")


def _sweep(clip: Clip, pixels: Tensor, layers: tuple[int, ...]) -> Callable[[Tensor], None]:
    """What the stage `effects` does with a batch."""
    parts = []
    for lens, seen in _calibrated(clip, pixels, layers):
        like = lens.weights.projection
        mean, outside = (part.to(like) for part in (seen.mean[0], seen.mean[1] @ seen.axes))
        collector = Collector(clip.neurons, lens.paths, TOP, like.device)
        parts.append((lens.narrowed(seen.axes), mean, outside, collector))
    images = torch.arange(len(pixels))

    def sweep(read: Tensor) -> None:
        trace = clip.trace(read, layers)
        for lens, mean, outside, collector in parts:
            found = lens.centred(trace, mean, outside)
            collector.add(found.norms, images, found.coefficients)

    return sweep


def _feed(bench: Bench, clip: Clip, sweep: Callable[[Tensor], None], read: Tensor) -> None:
    """A shard of bytes in the host's memory, each batch copied while the one before it is worked on."""
    batches = ((number, read) for number in range(SHARD))
    fed = uploaded(batches, bench.device) if bench.device.type == "cuda" else batches
    for _, there in fed:
        sweep(clip.preprocess.normalize(there, bench.device, clip.dtype))


def ablations(passes: Passes, layers: tuple[int, ...]) -> None:
    """Forward passes with all of Fig. 3 and 9 for every layer."""
    bench, clip, total, most = passes.bench, passes.clip, 0.0, 0.0
    for group in _groups(bench, clip, layers):
        trace = clip.trace(passes.pixels, group)
        seen = _calibrated(clip, passes.pixels, group)
        parts = [ablation(lens, moments, trace) for lens, moments in seen]
        del trace
        seconds, used = bench.timed(partial(_ablated, clip, passes.pixels, group, parts))
        total, most = total + seconds, max(most, used)
    bench.row("forward + ablations of all layers", total, passes.plain, most)
    if passes.family == "ViT-L-14":
        seconds = total / bench.batch * PICTURES
        bench.goal(f"Fig. 9, {passes.title}, seconds", seconds, FIGURE_9)


def ablation(lens: SecondOrderLens, seen: Moments, trace: Trace) -> LayerAblation:
    """An ablation for which as large a share of a neuron's effects is large as in a run of Fig. 9's pictures."""
    like = lens.weights.projection
    shape = lens.weights.neurons, lens.weights.embed
    direction = normalize(torch.randn(shape), dim=1).to(like)
    mean, rest = (part.to(like) for part in seen.mean)
    norms = lens.centred(trace, mean, rest).norms
    limits = norms.float().quantile(1 - TOP / PICTURES, dim=0).to(like)
    replaced = {"pc": Replacement(direction, direction)}
    return LayerAblation(lens, mean, rest, limits, replaced, axes=seen.axes)


def _ablated(
    clip: Clip, pixels: Tensor, layers: tuple[int, ...], parts: list[LayerAblation]
) -> None:
    trace = clip.trace(pixels, layers, writes=True)
    for part in parts:
        part.changes(trace)


def indirect(passes: Passes) -> None:
    """Interventions on single neurons, which are in float32 whatever the model's type."""
    bench, clip, some = passes.bench, passes.clip.widened(), passes.pixels[:4]
    layer, neurons = clip.layers - 3, range(min(64, clip.neurons))
    halt = halted(clip.visual, some.to(clip.dtype), [layer])[1][layer]
    writes, means = clip.weights.blocks[layer].neuron_writes, halt.activations.mean(0)
    rest = partial(resume, clip.visual, layer)
    seconds, used = bench.timed(partial(indirect_effects, halt, writes, means, rest, neurons))
    each, forward = seconds / len(some) / len(neurons), passes.plain / bench.batch
    title = f"indirect effect of layer {layer}, per neuron, in float32"
    print(f"| {title} | {1 / each:,.0f} | {each / forward:.3f} | {used:.1f} |")


def compiled(passes: Passes) -> None:
    """The forward pass by torch's compiler, and traces of all layers as they are written and by it."""
    bench, visual, every = passes.bench, passes.clip.visual, range(passes.clip.layers - 1)
    backend = "eager" if bench.dry else "inductor"
    quick = torch.compile(visual, backend=backend)
    trace = CompiledCapture(visual, every, backend=backend)
    for title, work in (
        ("forward, compiled", quick),
        ("trace of all layers", partial(passes.clip.trace, layers=every)),
        ("trace of all layers, compiled", trace),
    ):
        if bench.left < COMPILING and not bench.dry:
            print(f"| {title} | not measured: the time was over | | |")
            continue
        with torch.no_grad():
            seconds, used = bench.timed(partial(work, passes.pixels))
        bench.row(title, seconds, passes.plain, used)
