"""What a pass over pictures takes of memory, as planned and as the system counts it; and what half precision changes.

    python benchmarks/memory.py                                    # ViT-B-32, all layers, 24 pictures in batches of 8
    python benchmarks/memory.py --model ViT-L-14 --layers 18-22 --pictures 8 --batch 4

Each precision sweeps a shard of random pictures with the stage `effects` in a process of its own, whose peak resident
memory (Linux, VmHWM) is read before the worker is built and after the shard. The plan is of the same function that
`clipneuron plan` prints. Errors are those of norms and top coefficients against the float32 run, which is off from
float64 by 4e-8 itself. The plan counts at most: with all coordinates of the remainders, of which few are left.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from machine import describe

from clipneuron import load_clip
from clipneuron.config.layers import layers_or_all_in
from clipneuron.config.recipe import Recipe
from clipneuron.engine.stage import Named
from clipneuron.lens.summaries import Moments
from clipneuron.readers.lenses import Lenses
from clipneuron.readers.sweep import MeanEffect
from clipneuron.reports.quantities import size
from clipneuron.sweep.memory.models import shape_of
from clipneuron.sweep.memory.plans import fitted
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
    parser.add_argument("--one", choices=("float32", "float16"), help=argparse.SUPPRESS)
    parser.add_argument("--to", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(chosen)
        return
    print(describe())
    print(f"{chosen.model}, {chosen.pictures} pictures in batches of {chosen.batch}\n")
    print(
        "| precision | held by layers, planned | whole pass, planned | measured on top of the model |"
    )
    print("|---|---|---|---|")
    found = {}
    for precision in ("float32", "float16"):
        file = Path(f"/tmp/memory-{os.getpid()}-{precision}.npz")
        words = [sys.executable, __file__, *sys.argv[1:], "--one", precision, "--to", str(file)]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        figures = json.loads(said.splitlines()[-1])
        print(
            f"| {precision} | {size(figures['held'])} | {size(figures['planned'])} | {size(figures['measured'])} |"
        )
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


def one(chosen) -> None:
    """Sweep in one precision; print a line of JSON, and leave the numbers in a file."""
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
    plan = fitted(shape_of(clip, recipe), layers, 0, chosen.one, True)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (chosen.pictures, 3, *clip.image_size), dtype=torch.uint8, generator=generator
    )
    means = means_of(clip, layers, pixels, chosen.batch)
    lenses = Lenses(layers, "equal", True, half=chosen.one == "float16")
    nothing = Named("nothing")
    stage = EffectsStage(lambda: clip, None, lenses, chosen.batch, chosen.top, nothing, nothing)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    worker = stage.build(Known(means, {}))
    output = worker.process(Shard(pixels), lambda rows: None)
    measured = resident("VmHWM") - before
    keep(output.tables, layers, chosen.to)
    weights = shape_of(clip, recipe).weights
    figures = {
        "held": plan.need.at_model - weights,
        "planned": plan.need.of(on_cpu=True) - weights,
        "measured": measured,
    }
    print(json.dumps(figures))


class Shard:
    """Decoded pictures as the stage gets them, without any file."""

    failures = ()

    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels
        self.present = [True] * len(pixels)
        self.good = [Picture(index) for index in range(len(pixels))]

    def slices(self, count: int):
        """Batches, as `Batch.slices`."""
        for first in range(0, len(self.pixels), count):
            yield self.good[first : first + count], self.pixels[first : first + count]

    def rows(self) -> dict[str, object]:
        """A row per picture, as `Batch.rows`."""
        number = len(self.pixels)
        names = [str(index) for index in range(number)]
        return {
            "index": np.arange(number),
            "image": names,
            "label": [None] * number,
            "label_name": [None] * number,
            "status": ["ok"] * number,
            "reason": [None] * number,
        }


class Picture:
    """All that the stage asks of a picture."""

    def __init__(self, index: int) -> None:
        self.index = index


@torch.inference_mode()
def means_of(clip, layers, pixels: torch.Tensor, batch: int) -> dict[int, MeanEffect]:
    """The mean effects over the pictures, and the axes of their remainders."""
    found = {}
    for layer in layers:  # one after another: no more than one layer's lens is ever there
        lens = Lenses((layer,), "equal", True).one(clip, layer)
        sums = None
        for part in pixels.split(batch):
            trace = clip.trace(clip.preprocess.normalize(part, clip.device, clip.dtype), (layer,))
            own = Moments.of(lens.coefficients(trace), lens.remainders(trace))
            sums = own if sums is None else sums + own
        found[layer] = MeanEffect(*sums.mean, sums.axes, sums.count)
    return found


def keep(tables, layers, file: str) -> None:
    """Norms, and the last layer's top pictures with their coefficients."""
    norms = [np.array(tables["norms"][f"layer_{layer}"].to_pylist()) for layer in layers]
    rows = tables["summaries"].filter(
        np.array(tables["summaries"]["layer"].to_pylist()) == layers[-1]
    )
    images = np.array(rows["top_images"].to_pylist())
    top = np.array(rows["top_coefficients"].to_pylist()).reshape(*images.shape, -1)
    np.savez(file, norms=np.stack(norms), images=images, rows=top)


def resident(which: str) -> int:
    """Bytes of this process by Linux, now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if which in line).split()[1]) * 1024


if __name__ == "__main__":
    main()
