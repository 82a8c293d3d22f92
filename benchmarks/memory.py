"""What a pass over pictures takes of memory, as planned and as the system counts it; and what half precision changes.

    python benchmarks/memory.py                                    # ViT-B-32, all layers, 24 pictures in batches of 8
    python benchmarks/memory.py --model ViT-L-14 --layers 18-22 --pictures 8 --batch 4
    python benchmarks/memory.py --model ViT-L-14 --pictures 32 --batch 16 --at-model    # 17 GB
    python benchmarks/memory.py --model ViT-L-14 --pictures 32 --batch 16 --calibrate

Each precision sweeps a shard of random pictures with the stage `effects` in a process of its own, whose peak resident
memory (Linux, VmHWM) is read before the worker is built and after the shard. The plan is of the same function that
`clipneuron plan` prints, without the model, which is there before. It counts at most: with all coordinates of the
remainders, of which no more than there are pictures are left; the second figure counts those. Errors are those of norms
and top coefficients against the float32 run.

`--at-model` measures what a pass in float16 takes where the model is, and so what a GPU would have to hold: it ends
before the tables of the shard are made, which are in main memory. All 23 layers of ViT-L-14 take minutes to begin.

`--calibrate` measures the first pass instead, which has all layers at once and no precision to choose, in the same way.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import pyarrow.compute as pc
import torch
from machine import describe, resident

from clipneuron import load_clip
from clipneuron.config.recipe import Recipe
from clipneuron.config.values.layers import layers_or_all_in
from clipneuron.data.collections import Picture
from clipneuron.engine.stage import Named
from clipneuron.lens.summaries import Moments
from clipneuron.readers.arrow import tensor
from clipneuron.readers.lenses import Lenses, moved, trace_of
from clipneuron.readers.pictures import Batch
from clipneuron.readers.sweep import MeanEffect
from clipneuron.reports.quantities import size
from clipneuron.sweep.memory.models import shape_of
from clipneuron.sweep.memory.needs import calibrating_on_cpu
from clipneuron.sweep.memory.plans import fitted
from clipneuron.sweep.stages.calibrate import CalibrateStage
from clipneuron.sweep.stages.effects import EffectsStage, Known


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="open_clip architecture")
    parser.add_argument("--layers", type=layers_or_all_in, default=(), metavar="all|0,6-9")
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument(
        "--at-model", action="store_true", help="a pass in float16 alone, without its tables"
    )
    parser.add_argument("--calibrate", action="store_true", help="the first pass instead")
    parser.add_argument("--one", choices=("float32", "float16"), help=argparse.SUPPRESS)
    parser.add_argument("--to", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(chosen)
        return
    print(describe())
    print(f"{chosen.model}, {chosen.pictures} pictures in batches of {chosen.batch}\n")
    print("| precision | planned, on top of the model | measured |")
    print("|---|---|---|")
    if chosen.at_model or chosen.calibrate:
        row("float32" if chosen.calibrate else "float16", "")
        return
    found = {}
    for precision in ("float32", "float16"):
        file = Path(f"/tmp/memory-{os.getpid()}-{precision}.npz")
        row(precision, str(file))
        found[precision] = np.load(file)
        file.unlink()
    single, half = found["float32"], found["float16"]
    norms = np.abs(half["norms"] / single["norms"] - 1)
    print(f"\nnorms: off by a median of {np.median(norms):.1e}, at most {norms.max():.1e}")
    same = half["images"] == single["images"]
    print(f"top pictures in their places: {same.mean():.4%}")
    away = np.linalg.norm(half["rows"] - single["rows"], axis=-1)
    own = np.linalg.norm(single["rows"], axis=-1)
    used = same & (own > 0)
    print(
        f"coefficients: off by a median of {np.median(away[used] / own[used]):.1e} of the effect's own"
    )


def row(precision: str, file: str) -> None:
    """Print what a process of its own plans and measures."""
    words = [sys.executable, __file__, *sys.argv[1:], "--one", precision, "--to", file]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures = json.loads(said.splitlines()[-1])
    cells = " | ".join(size(figures[name]) for name in ("planned", "measured"))
    print(f"| {precision} | {cells} |")


class WholeError(Exception):
    """All pictures have gone through the model."""


def one(chosen) -> None:
    """Sweep in one precision; print a line of JSON, and leave the numbers in a file."""
    torch.manual_seed(0)  # both processes have the same weights
    clip = load_clip(open_clip.create_model(chosen.model, pretrained=None))
    layers = chosen.layers or tuple(range(clip.layers - 1))
    recipe = Recipe(
        name="x",
        model="x",
        images="x",
        batch_size=chosen.batch,
        top=chosen.top,
        shard_size=chosen.pictures,
    )
    sizes = replace(shape_of(clip, recipe), pixels=0)  # they are there before
    plan = fitted(sizes, layers, 0, chosen.one, True)
    generator = torch.Generator().manual_seed(0)
    shape = chosen.pictures, 3, *clip.image_size
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).numpy()
    if chosen.calibrate:
        planned, shared = calibrating_on_cpu(sizes, layers), None
    else:
        planned = plan.need.of(on_cpu=not chosen.at_model) - sizes.weights
        shared = Known(means_of(clip, layers, pixels, chosen.batch), {})
    stage = stage_of(clip, layers, chosen)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    worker = stage.build(shared)
    left = chosen.pictures

    def advance(rows: int) -> None:
        nonlocal left
        left -= rows
        if (chosen.at_model or chosen.calibrate) and not left:
            raise WholeError

    with suppress(WholeError):
        keep(worker.process(batch_of(pixels), advance).tables, layers, chosen.to)
    measured = resident("VmHWM") - before
    print(json.dumps({"planned": planned, "measured": measured}))


def stage_of(clip, layers, chosen) -> CalibrateStage | EffectsStage:
    """What is measured."""
    loader, nothing = partial(moved, clip, "cpu"), Named("nothing")
    lenses = Lenses(layers, "equal", True, half=chosen.one == "float16")
    if chosen.calibrate:
        return CalibrateStage(loader, None, lenses, chosen.batch, nothing)
    return EffectsStage(loader, None, lenses, chosen.batch, chosen.top, nothing, nothing)


def batch_of(pixels: np.ndarray) -> Batch:
    """Decoded pictures as the stage gets them, without any file."""
    nowhere = None, None, "", None, None, None
    pictures = tuple(Picture(index, str(index), *nowhere) for index in range(len(pixels)))
    return Batch(pictures, pictures, pixels, ())


@torch.inference_mode()
def means_of(clip, layers, pixels: np.ndarray, batch: int) -> dict[int, MeanEffect]:
    """The mean effects over the pictures, and the axes of their remainders."""
    lenses, sums = Lenses(layers, "equal", True).on(clip), {}
    for start in range(0, len(pixels), batch):
        trace = trace_of(clip, pixels[start : start + batch], layers)
        for layer, lens in lenses.items():
            own = Moments.of(lens.coefficients(trace), lens.remainders(trace))
            sums[layer] = sums[layer] + own if layer in sums else own
    return {layer: MeanEffect(*each.mean, each.axes, each.count) for layer, each in sums.items()}


def keep(tables, layers, file: str) -> None:
    """Norms, and the last layer's top pictures with their coefficients."""
    norms = [tensor(tables["norms"][f"layer_{layer}"]).numpy() for layer in layers]
    rows = tables["summaries"].filter(pc.equal(tables["summaries"]["layer"], layers[-1]))
    images = tensor(rows["top_images"]).numpy()
    top = tensor(rows["top_coefficients"]).numpy().reshape(*images.shape, -1)
    np.savez(file, norms=np.stack(norms), images=images, rows=top)


if __name__ == "__main__":
    main()
