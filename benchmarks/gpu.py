"""What a GPU makes of clipneuron, in ten minutes, as Markdown to paste. Needs no Ray, no store and no data.

    python benchmarks/gpu.py                                  # ViT-B-32 and ViT-L-14, bfloat16 and float32
    python benchmarks/gpu.py --models ViT-B-32-quickgelu --minutes 3
    python benchmarks/gpu.py --dry                            # tiny shapes on the CPU: does all of it run?

Needs a checkout with torch, open_clip, einops, jaxtyping and numpy; of clipneuron it loads `lens` and `models` only.
Weights, pictures and texts are random. Times are medians of calls after a warm-up, the device being waited for around
each; forward passes are those of the same process, type and batch. First every model is compared with itself in float64
on the same device. Memory is the greatest that tensors took during a row. Layers that do not fit into the memory
together are swept in several passes, whose times are added. What the budget has no time for is said to be missing;
nothing is extrapolated except Fig. 9, which is the time of a picture times its 5,000 pictures. In ablations 2 % of each
neuron's effects are large, as in such a run (its top 100 of 5,000); in noise they are spread over pictures more evenly
than in photographs, and the picture that has most of them decides what they cost. The exit status is 1 where a check or
a goal fails (`--dry` has no goals).
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial

import open_clip
import torch
from gpu_bench import Bench
from gpu_passes import TOP, measure
from machine import describe
from torch import Tensor
from torch.nn.functional import normalize

from clipneuron.lens.directions import first_directions
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.pursuit import pursuit
from clipneuron.models.clip.model import Clip, load_clip

MODELS = ("ViT-B-32-quickgelu", "ViT-L-14")
TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
ERRORS = {torch.float32: 1e-3, torch.bfloat16: 1e-1}
"""The greatest median error of norms, in parts, that passes as the rounding of each type."""


def main(given: Sequence[str] | None = None) -> int:
    """Print the report; 1 where a check or a goal fails."""
    options = _options(given)
    bench = _bench(options)
    print(f"## clipneuron on {bench.name}\n\n{describe()}; batches of {bench.batch}")
    with torch.inference_mode():
        for name in ("tiny",) if options.dry else options.models:
            for kind in options.types:
                _report(bench, name, kind)
        per_neuron(bench, (64, 16) if options.dry else (768, 768))
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


def tower(name: str) -> torch.nn.Module:
    """The image tower of this architecture with random weights, the same each time."""
    torch.manual_seed(0)
    if name != "tiny":
        return open_clip.create_model(name, pretrained=None).visual
    vision = {"layers": 4, "width": 64, "head_width": 16, "image_size": 32, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1}
    return open_clip.CLIP(32, vision, text).visual


def _report(bench: Bench, name: str, kind: str) -> None:
    """The table of one model in one type."""
    title = f"{name}, {kind}"
    print(f"\n### {title}\n")
    if bench.left <= 0:
        print("not measured: the time was over")
        return
    try:
        clip = load_clip(tower(name), device=bench.device, dtype=TYPES[kind])
        check(bench, clip, title)
        print("\n| pass | pictures/s | in forward passes | GiB |\n|---|---|---|---|")
        measure(bench, clip, title)
    except torch.OutOfMemoryError:
        print(f"\nout of memory: try `--batch {max(1, bench.batch // 2)}`")
        bench.failures.append(f"{title}: out of memory with batches of {bench.batch}")


def check(bench: Bench, clip: Clip, title: str) -> None:
    """How far norms are from those of the same tower in float64."""
    layer, device = clip.layers - 2, bench.device
    pixels = torch.randn(2, 3, *clip.image_size).to(device)
    wide = load_clip(tower(title.partition(",")[0]), device=device, dtype=torch.float64)
    own, exact = (
        SecondOrderLens(each, layer).norms(each.trace(pixels, [layer])) for each in (clip, wide)
    )
    error = float(((own.double() - exact).abs() / exact.clamp(min=1e-12)).median())
    passed = error <= ERRORS[clip.dtype]
    verdict = "passed" if passed else "**failed**"
    print(f"Norms of layer {layer} against float64: median error {error:.1e}, {verdict}")
    if not passed:
        bench.failures.append(f"{title}: norms differ from float64 by {error:.1e}")


def per_neuron(bench: Bench, sizes: tuple[int, int]) -> None:
    """Work per neuron that no picture adds to, for an embedding and paths of these sizes."""
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
    what = f"{bench.atoms} of {bench.texts:,} texts x {embed}"
    print(f"| {what} | {1e3 * seconds / len(wanted):.2f} | {used:.1f} |")
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
