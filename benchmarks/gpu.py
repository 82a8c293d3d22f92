"""What a GPU makes of clipneuron, in ten minutes, as Markdown to paste. Needs no Ray, no store and no data.

    python benchmarks/gpu.py                                  # ViT-B-32 and ViT-L-14, bfloat16 and float32
    python benchmarks/gpu.py --models ViT-B-32-quickgelu --minutes 3
    python benchmarks/gpu.py --dry                            # tiny shapes on the CPU: does all of it run?

Needs a checkout with torch, open_clip, einops, jaxtyping and numpy; of clipneuron it loads `lens` and `models` only.
Weights, pictures and texts are random. Times are medians of calls after a warm-up, the device being waited for around
each; forward passes are those of the same process, type and batch. First every model is compared with itself in float64
on the same device. Memory is the greatest that tensors took during a row. Layers that do not fit into the memory
together are swept in several passes, whose times are added. What the budget has no time for is said to be missing;
nothing is extrapolated except Fig. 9, which is the time of a picture times its 5,000 pictures. The exit status is 1
where a check or a goal fails (`--dry` has no goals).
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import open_clip
import torch
from effects import moments
from machine import describe
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.ablations import LayerAblation, Replacement
from clipneuron.lens.directions import first_directions
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.indirect import indirect_effects
from clipneuron.lens.pursuit import pursuit
from clipneuron.lens.summaries import Collector, Moments
from clipneuron.models.clip.interventions import halted, resume
from clipneuron.models.clip.model import Clip, load_clip

MODELS = ("ViT-B-32-quickgelu", "ViT-L-14")
TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
ALL_LAYERS = {"ViT-B-32": 1.15, "ViT-L-14": 1.08}
"""Goals: a forward pass with the norms of all layers, in forward passes."""
FED = 0.85
"""Goal: pictures per second from the host's memory, in those from the device's."""
FIGURE_9 = 300.0
"""Goal: seconds for the ablations of all layers of ViT-L-14 on a tenth of ImageNet's test set."""
PICTURES = 5_000
ERRORS = {torch.float32: 1e-3, torch.bfloat16: 1e-1}
"""The greatest median error of norms, in parts, that passes as the rounding of each type."""
TOP = 100
COMPILING = 90.0
"""Seconds that have to be left where the compiler begins."""

Work = Callable[[], object]


@dataclass
class Bench:
    """The device, the sizes, and how much time is left."""

    device: torch.device
    batch: int
    texts: int
    atoms: int
    seconds: float
    ends: float
    dry: bool
    failures: list[str] = field(default_factory=list)
    goals: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.ends - time.perf_counter()

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

    def goal(self, what: str, value: float, bound: float, *, above: bool = False) -> None:
        """Note a goal, and whether it is met; tiny shapes have none."""
        if self.dry:
            return
        met = value >= bound if above else value <= bound
        self.goals.append(
            f"| {what} | {'>=' if above else '<='} {bound:g} | {value:.3g} | {'met' if met else '**missed**'} |"
        )
        if not met:
            self.failures.append(what)


def main(given: Sequence[str] | None = None) -> int:
    """Print the report; 1 where a check or a goal fails."""
    options = _options(given)
    bench = _bench(options)
    print(f"## clipneuron on {_device(bench.device)}\n\n{describe()}; batches of {bench.batch}\n")
    with torch.inference_mode():
        for name in ("tiny",) if options.dry else options.models:
            for kind in options.types:
                if bench.left <= 0:
                    print(f"\n### {name}, {kind}\n\nnot measured: the time was over")
                    continue
                _report(bench, name, kind)
        _neurons(bench, (64, 16) if options.dry else (768, 768))
    print("\n### Goals\n\n| goal | bound | measured | |\n|---|---|---|---|")
    print("\n".join(bench.goals) or "| none was measured | | | |")
    if bench.failures:
        print(f"\nFailed: {'; '.join(bench.failures)}")
    return int(bool(bench.failures))


def _options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, help="open_clip architectures")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=[*TYPES])
    parser.add_argument("--batch", type=int, default=256, help="pictures per forward pass")
    parser.add_argument("--minutes", type=float, default=10, help="after which nothing new begins")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dry", action="store_true", help="tiny shapes on the CPU, no goals")
    options = parser.parse_args(given)
    if not options.dry and options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU: `--dry` runs everything small on the CPU")
    return options


def _bench(options: argparse.Namespace) -> Bench:
    ends = time.perf_counter() + 60 * options.minutes
    if options.dry:
        return Bench(torch.device("cpu"), 4, 64, 4, 0.0, ends, True)
    return Bench(torch.device(options.device), options.batch, 30_000, 128, 2.0, ends, False)


def _device(device: torch.device) -> str:
    if device.type != "cuda":
        return "a CPU, tiny (a dry run: its figures say nothing)"
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB"


def _tower(name: str) -> torch.nn.Module:
    """The image tower of this architecture with random weights, the same each time."""
    torch.manual_seed(0)
    if name != "tiny":
        return open_clip.create_model(name, pretrained=None).visual
    vision = {"layers": 4, "width": 64, "head_width": 16, "image_size": 32, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1}
    return open_clip.CLIP(32, vision, text).visual


def _report(bench: Bench, name: str, kind: str) -> None:
    """The table of one model in one type."""
    clip = load_clip(_tower(name), device=bench.device, dtype=TYPES[kind])
    print(f"\n### {name}, {kind}\n")
    _check(bench, clip, name, kind)
    print("\n| pass | pictures/s | in forward passes | GiB |\n|---|---|---|---|")
    pixels = torch.randn(bench.batch, 3, *clip.image_size).to(bench.device, TYPES[kind])
    plain, used = bench.timed(lambda: clip.visual(pixels))
    _print(bench, "forward", plain, plain, used)
    late = tuple(range(max(0, clip.layers - 4), clip.layers - 1))
    every = tuple(range(clip.layers - 1))
    for title, layers in (("late layers", late), ("all layers", every)):
        _sweeps(bench, clip, pixels, plain, title, layers, f"{name}, {kind}")
    _ablations(bench, clip, pixels, plain, every, f"{name}, {kind}")
    _indirect(bench, clip, pixels, plain)
    _compiled(bench, clip, pixels, plain)


def _print(bench: Bench, title: str, seconds: float, plain: float, used: float) -> None:
    print(
        f"| {title} | {bench.batch / seconds:,.0f} | {seconds / plain:.3f} | {used:.1f} |",
        flush=True,
    )


def _check(bench: Bench, clip: Clip, name: str, kind: str) -> None:
    """How far norms are from those of the same tower in float64."""
    layer, device = clip.layers - 2, bench.device
    pixels = torch.randn(2, 3, *clip.image_size).to(device)
    wide = load_clip(_tower(name), device=device, dtype=torch.float64)
    own, exact = (
        SecondOrderLens(each, layer).norms(each.trace(pixels, [layer])) for each in (clip, wide)
    )
    error = float(((own.double() - exact).abs() / exact.clamp(min=1e-12)).median())
    passed = error <= ERRORS[TYPES[kind]]
    print(
        f"Norms of layer {layer} against float64: median error {error:.1e}, {'passed' if passed else '**failed**'}"
    )
    if not passed:
        bench.failures.append(f"{name}, {kind}: norms differ from float64 by {error:.1e}")


def _groups(bench: Bench, clip: Clip, layers: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Layers that fit together into half of the free memory: Gram matrices, cross terms, top images, a batch."""
    free = torch.cuda.mem_get_info(bench.device)[0] if bench.device.type == "cuda" else 2**33
    group: list[int] = []
    taken = 0.0
    for layer in layers:
        paths = clip.weights.paths(layer)
        need = 4.0 * clip.neurons * paths * (3 * paths + TOP)
        if group and taken + need > free / 2:
            yield tuple(group)
            group, taken = [], 0.0
        group.append(layer)
        taken += need
    yield tuple(group)


def _sweeps(
    bench: Bench,
    clip: Clip,
    pixels: Tensor,
    plain: float,
    title: str,
    layers: tuple[int, ...],
    where: str,
) -> None:
    """Forward passes with norms and summaries, from the device's memory and from the host's."""
    total, most, groups = 0.0, 0.0, [*_groups(bench, clip, layers)]
    for group in groups:
        sweep = _sweep(clip, pixels, group)
        seconds, used = bench.timed(partial(sweep, pixels))
        total, most = total + seconds, max(most, used)
    passes = f" in {len(groups)} passes" if len(groups) > 1 else ""
    _print(bench, f"forward + {title}{passes}", total, plain, most)
    goal = ALL_LAYERS.get(clip_family(where))
    if title == "all layers" and goal:
        bench.goal(f"all layers, {where}, in forward passes", total / plain, goal)
    if title == "late layers" and len(groups) == 1:
        fed = bench.timed(partial(_feed, bench, clip, sweep))[0] / 4
        _print(bench, f"forward + {title}, fed by the host", fed, plain, most)
        bench.goal(f"fed, {where}, of what memory gives", total / fed, FED, above=True)


def clip_family(where: str) -> str:
    """ViT-B-32 of ViT-B-32-quickgelu."""
    return where.partition(",")[0].removesuffix("-quickgelu")


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
            coefficients = lens.coefficients(trace, mean)
            norms = lens.norms_of(coefficients, lens.remainders(trace) - outside)
            collector.add(norms, images, coefficients)

    return sweep


def _feed(bench: Bench, clip: Clip, sweep: Callable[[Tensor], None]) -> None:
    """Four batches of bytes in the host's memory, each copied there while the one before it is worked on."""
    bytes_ = torch.randint(0, 256, (bench.batch, 3, *clip.image_size), dtype=torch.uint8)
    for _ in range(4):
        pinned = bytes_.pin_memory() if bench.device.type == "cuda" else bytes_
        there = pinned.to(bench.device, non_blocking=True)
        sweep(clip.preprocess.normalize(there, bench.device, clip.dtype))


def _ablations(
    bench: Bench, clip: Clip, pixels: Tensor, plain: float, layers: tuple[int, ...], where: str
) -> None:
    """Forward passes with all of Fig. 3 and 9 for every layer."""
    total, most = 0.0, 0.0
    for group in _groups(bench, clip, layers):
        parts = [_ablation(lens, seen) for lens, seen in _calibrated(clip, pixels, group)]
        seconds, used = bench.timed(partial(_ablated, clip, pixels, group, parts))
        total, most = total + seconds, max(most, used)
    _print(bench, "forward + ablations of all layers", total, plain, most)
    if clip_family(where) == "ViT-L-14":
        seconds = total / bench.batch * PICTURES
        bench.goal(f"Fig. 9, {where}, seconds", seconds, FIGURE_9)


def _ablation(lens: SecondOrderLens, seen: Moments) -> LayerAblation:
    like = lens.weights.projection
    shape = lens.weights.neurons, lens.weights.embed
    direction = normalize(torch.randn(shape), dim=1).to(like)
    limits = torch.full(shape[:1], torch.inf).to(like)
    mean, rest = (part.to(like) for part in seen.mean)
    replaced = {"pc": Replacement(direction, direction)}
    return LayerAblation(lens, mean, rest, limits, replaced, axes=seen.axes)


def _ablated(
    clip: Clip, pixels: Tensor, layers: tuple[int, ...], parts: list[LayerAblation]
) -> None:
    trace = clip.trace(pixels, layers, writes=True)
    for part in parts:
        part.changes(trace)


def _indirect(bench: Bench, clip: Clip, pixels: Tensor, plain: float) -> None:
    layer, neurons, some = clip.layers - 3, range(min(64, clip.neurons)), pixels[:4]
    halt = halted(clip.visual, some, [layer])[1][layer]
    writes, means = clip.weights.blocks[layer].neuron_writes, halt.activations.mean(0)
    rest = partial(resume, clip.visual, layer)
    seconds, used = bench.timed(partial(indirect_effects, halt, writes, means, rest, neurons))
    each, forward = seconds / len(some) / len(neurons), plain / bench.batch
    print(
        f"| indirect effect of layer {layer}, per neuron | {1 / each:,.0f} | {each / forward:.3f} | {used:.1f} |"
    )


def _compiled(bench: Bench, clip: Clip, pixels: Tensor, plain: float) -> None:
    if bench.left < COMPILING and not bench.dry:
        print("| forward, compiled | not measured: the time was over | | |")
        return
    compiled = torch.compile(clip.visual, backend="eager" if bench.dry else "inductor")
    with torch.no_grad():
        seconds, used = bench.timed(lambda: compiled(pixels))
    _print(bench, "forward, compiled", seconds, plain, used)


def _neurons(bench: Bench, sizes: tuple[int, int]) -> None:
    """Work per neuron that no picture adds to."""
    print("\n### Per neuron\n\n| work | ms per neuron | GiB |\n|---|---|---|")
    (embed, paths), count = sizes, 16 if bench.dry else 128
    for size in (paths // 32 or 1, paths // 8, paths):
        given = (
            torch.randn(count, TOP, size, device=bench.device),
            torch.randn(count, size, embed, device=bench.device),
            torch.zeros(count, TOP, 0, device=bench.device),
            torch.zeros(0, embed, device=bench.device),
        )
        seconds, used = bench.timed(partial(first_directions, *given))
        print(f"| direction, {size} paths | {1e3 * seconds / count:.2f} | {used:.1f} |", flush=True)
    texts = normalize(torch.randn(bench.texts, embed), dim=1).to(bench.device)
    wanted = normalize(torch.randn(4 * count, embed), dim=1).to(bench.device)
    seconds, used = bench.timed(partial(pursuit, wanted, texts, bench.atoms))
    print(
        f"| {bench.atoms} of {bench.texts:,} texts x {embed} | {1e3 * seconds / len(wanted):.2f} | {used:.1f} |"
    )
    _same_supports(bench, wanted[:16], texts)


def _same_supports(bench: Bench, wanted: Tensor, texts: Tensor) -> None:
    own = pursuit(wanted, texts, bench.atoms).indices
    exact = pursuit(wanted.double(), texts.double(), bench.atoms).indices
    same = int((own == exact).all(1).sum())
    print(
        f"\nPursuits against float64: {same} of {len(wanted)} have the same texts in the same order"
    )
    if same < len(wanted) // 2:
        bench.failures.append("pursuits differ from float64")


if __name__ == "__main__":
    sys.exit(main())
