"""What a sweep takes at scale: GPUs, cores to feed them, bytes, requests, dollars. Prints the tables of docs/scale.md.

    python benchmarks/scale.py                         # measures first: an hour of a core
    python benchmarks/scale.py --keep inputs.json      # keeps the measurements, and reuses them next time
    python benchmarks/scale.py --gpu mine=4000,350     # your GPU's forward passes per second: ViT-B-32, ViT-L-14

Decoding, the passes' cost in forward passes, and table sizes are measured on this machine; floating-point operations,
requests and shards are counted; GPU rates and prices are cited. It is an assumption that on a GPU a pass takes the same
multiple of a forward pass as on this CPU.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import open_clip
import torch
from later_waves import forwards
from machine import describe
from scale_model import Scale
from shards import Measured, Pass, decoding, flops, measured, picture

from clipneuron.config.named import named_recipe
from clipneuron.models.allocation import keep_freed_memory
from clipneuron.models.clip.model import load_clip
from clipneuron.sweep.memory.models import shape_of
from clipneuron.sweep.memory.plans import fitted

COLLECTIONS = (5_000, 50_000, 1_281_167)
GPUS = (1, 8, 64)
MEMORY = 10e9
"""Bytes that a group of layers is measured in, where the model is: its tables come on top."""
MODELS = {"vit_b_32": 2048, "vit_l_14": 104}
"""Recipes, with the pictures of the shard.

A shard's fixed cost is spread over its pictures, and the first 100 are all among the top effects: in shards as large as
the recipe's, ViT-L-14 costs less per picture.
"""

# Forward passes per second, mixed precision, batch 1024, PyTorch 2.4: huggingface/pytorch-image-models,
# results/benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv, rows vit_base_patch32_clip_quickgelu_224 and
# vit_large_patch14_clip_224.
RTX_4090 = (8389.12, 658.44)
# The same, PyTorch 2.9.1, compiled: results/benchmark-infer-amp-nchw-pt291-*-rtx4090.csv and -rtx5090.csv.
NEWER = {"RTX 4090, compiled": (12_485, 805), "RTX 5090, compiled": (15_834, 998)}
# FLOP/s of ViT-B-16 in float16, batch 256, PyTorch 1.12 eager on an A100-40GB: 2,226.10 images/s
# (facebookincubator/AITemplate, examples/04_vit) of 2 x 17.58 GFLOP each.
A100_FLOPS = 2226.10 * 2 * 17.58e9

# S3 Standard, us-east-1 (aws.amazon.com/s3/pricing): dollars per PUT, per GET, per GB and month.
PUT, GET, MONTH = 0.005 / 1000, 0.0004 / 1000, 0.023


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="measured inputs, reused if there"
    )
    parser.add_argument(
        "--gpu", type=_gpu, metavar="NAME=B32,L14", help="instead of the cited ones"
    )
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, for the passes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as workers do
    scales = _scales(arguments.keep)
    cited = {
        "RTX 4090": dict(zip(MODELS, RTX_4090, strict=True)),
        "A100": {scale.recipe: A100_FLOPS / scale.flops for scale in scales},
    }
    print(f"{describe()}\n")
    inputs(scales)
    rates = arguments.gpu or cited
    newer = {name: dict(zip(MODELS, pair, strict=True)) for name, pair in NEWER.items()}
    per_gpu(scales, arguments.gpu or cited | newer)
    for name in rates:
        whole(scales, name, rates[name])
    storage(scales)
    shard_sizes(scales)


def inputs(scales: Sequence[Scale]) -> None:
    """The inputs from which everything else is computed."""
    table("Inputs", ("input", "kind", *(scale.name for scale in scales)))
    shapes = [(len(s.measured.paths), s.measured.neurons, sum(s.measured.paths)) for s in scales]
    row("layers x neurons; paths in all", "counted", *(f"{a} x {b:,}; {c}" for a, b, c in shapes))
    row("GFLOP per forward pass", "counted", *(f"{s.flops / 1e9:.1f}" for s in scales))
    row("JPEG, KB", "made", *(f"{s.encoded / 1e3:.0f}" for s in scales))
    row(
        "decode, resize, crop: ms of a core", "measured", *(f"{s.decode * 1e3:.1f}" for s in scales)
    )
    row("measured on a shard of", "chosen", *(f"{s.measured.pictures} pictures" for s in scales))
    for name in ("calibrate", "effects"):
        found = [getattr(s.measured, name).forwards for s in scales]
        what = f"`{name}` on this shard, in forward passes"
        row(what, "measured", *(f"{value:.2f}" for value in found))
    later = (f"{s.effects_forwards:.2f}" for s in scales)
    row("`effects` in later waves, in forward passes", "measured", *later)
    row("stored per picture, KB", "measured", *(f"{s.per_picture / 1e3:.0f}" for s in scales))
    row("stored per shard besides, MB", "measured", *(f"{s.per_shard / 1e6:.0f}" for s in scales))
    row(
        "stored per top picture of all neurons, MB",
        "measured",
        *(f"{s.per_top / 1e6:.1f}" for s in scales),
    )
    row("commit, MB/s of a core", "measured", *(f"{s.commit_rate / 1e6:.0f}" for s in scales))
    row("pictures per shard", "recipe", *(f"{s.shard_size:,}" for s in scales))


def per_gpu(scales: Sequence[Scale], rates: dict[str, dict[str, float]]) -> None:
    """What one GPU does and needs, in a sweep of ImageNet."""
    needed = ("decoding, calibrate", "decoding, effects", "commits, effects")
    heads = ("forward passes/s", "pictures/s, both passes", *needed, "MB/s in", "MB/s out")
    table("One GPU, and the cores that keep it busy", ("GPU", "model", *heads))
    for gpu, rate in rates.items():
        for scale in scales:
            calibrate, effects = scale.pass_seconds(rate[scale.recipe])
            cores = scale.cores(rate[scale.recipe], COLLECTIONS[-1])
            row(
                gpu,
                scale.name,
                f"{rate[scale.recipe]:,.0f}",
                f"{1 / (calibrate + effects):,.0f}",
                *(f"{value:.1f}" for value in cores),
                f"{scale.encoded / calibrate / 1e6:,.0f}",
                f"{cores[-1] * scale.commit_rate / 1e6:,.0f}",
            )


def whole(scales: Sequence[Scale], gpu: str, rate: dict[str, float]) -> None:
    """Whole sweeps, with means of all pictures or of the paper's number."""
    counts = (f"{count} GPU{'s' * (count > 1)}" for count in GPUS)
    heads = ("calibrated on", "shards", "core-hours", *counts)
    table(f"Sweeps on {gpu}s, if they are fed", ("model", "pictures", *heads))
    for scale in scales:
        for pictures in COLLECTIONS:
            for calibrated in sorted({pictures, COLLECTIONS[0]}, reverse=True):
                hours = (
                    scale.hours(pictures, count, rate[scale.recipe], calibrated=calibrated)
                    for count in GPUS
                )
                cores = scale.core_hours(pictures, calibrated=calibrated)
                row(
                    scale.name,
                    f"{pictures:,}",
                    "all" if calibrated == pictures else f"{calibrated:,}",
                    f"{scale.shards(pictures):,}",
                    f"{cores:.2f}",
                    *(duration(value) for value in hours),
                )


def storage(scales: Sequence[Scale]) -> None:
    """Bytes, requests and dollars."""
    parts = ("per picture", "per shard", "top pictures", "merged", "GB")
    heads = (*parts, "PUTs", "GETs of pictures", "requests", "a month")
    table("Stored (GB), and what S3 asks for it", ("model", "pictures", *heads))
    for scale in scales:
        for pictures in COLLECTIONS:
            puts, written = scale.puts(pictures), scale.written(pictures)
            row(
                scale.name,
                f"{pictures:,}",
                f"{pictures * scale.per_picture / 1e9:,.1f}",
                f"{scale.shards(pictures) * scale.per_shard / 1e9:,.1f}",
                f"{scale.tops(pictures) / 1e9:,.1f}",
                f"{scale.merged(pictures) / 1e9:,.1f}",
                f"{written / 1e9:,.1f}",
                f"{puts:,}",
                f"{2 * pictures:,}",
                f"${puts * PUT + 2 * pictures * GET:,.2f}",
                f"${written / 1e9 * MONTH:,.2f}",
            )


def shard_sizes(scales: Sequence[Scale]) -> None:
    """What larger shards save, and what they cost."""
    pictures = COLLECTIONS[-1]
    heads = ("pictures per shard", "shards", "GB", "PUTs", "a decoded shard, GB")
    table(f"Shard size, {pictures:,} pictures", ("model", *heads))
    for scale in scales:
        for size in (2048, 8192, 32768):
            row(
                scale.name,
                f"{size:,}",
                f"{scale.shards(pictures, size):,}",
                f"{scale.written(pictures, size) / 1e9:,.0f}",
                f"{scale.puts(pictures, size):,}",
                f"{size * 3 * 224 * 224 / 1e9:.2f}",
            )


def table(title: str, heads: Iterable[str]) -> None:
    """Begin a Markdown table."""
    heads = tuple(heads)
    print(f"\n### {title}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")


def row(*cells: str) -> None:
    """A row of it."""
    print(f"| {' | '.join(cells)} |")


def duration(hours: float) -> str:
    """A number of hours in a suitable unit."""
    if hours * 3600 < 90:
        return f"{hours * 3600:.1f} s"
    return f"{hours * 60:.1f} min" if hours < 1.5 else f"{hours:.1f} h"


def _scales(keep: Path | None) -> list[Scale]:
    """Each model's measurements: those that are kept, or new ones, kept as soon as they are there."""
    kept = json.loads(keep.read_text()) if keep and keep.exists() else []
    found = {item["recipe"]: _restored(item) for item in kept}
    for recipe, count in MODELS.items():
        if recipe not in found:
            found[recipe] = _measured(recipe, count)
            if keep:
                keep.write_text(json.dumps(list(map(dataclasses.asdict, found.values())), indent=1))
    return [found[recipe] for recipe in MODELS]


def _measured(recipe: str, count: int) -> Scale:
    found = named_recipe(recipe, {"images": "-"})
    clip = load_clip(open_clip.create_model(found.model, pretrained=None))
    layers = tuple(found.layers or range(clip.layers - 1))
    groups = fitted(shape_of(clip, found), layers, MEMORY, "float32", on_cpu=False).groups
    pictures = [picture(seed) for seed in range(100)]
    size = sum(map(len, pictures)) / len(pictures)
    decode = decoding(clip.preprocess, pictures)
    later = forwards(clip, list(layers), found.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        shard = measured(clip, groups, found.batch_size, count, Path(folder))
    return Scale(recipe, flops(found.model), decode, size, later, shard)


def _restored(item: dict[str, object]) -> Scale:
    shard = dict(item["measured"])  # type: ignore[call-overload]
    passes = {name: Pass(**shard[name]) for name in ("calibrate", "effects")}
    return Scale(**{**item, "measured": Measured(**{**shard, **passes})})  # type: ignore[arg-type]


def _gpu(text: str) -> dict[str, dict[str, float]]:
    name, _, numbers = text.partition("=")
    return {name: dict(zip(MODELS, map(float, numbers.split(",")), strict=True))}


if __name__ == "__main__":
    main()
