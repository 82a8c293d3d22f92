"""A shard of a model's sweep, computed and committed for real: its cost next to plain forward passes.

The model has a named architecture and random weights; the pictures are JPEGs of noise with a photograph's size,
spectrum and bytes, made on the spot. Everything runs on this machine's CPU.
"""

import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from pyarrow.parquet import ParquetFile
from timing import least, seconds
from torch.utils.flop_counter import FlopCounterMode

from clipneuron.data.opening import open_collection
from clipneuron.engine.stage import Stage
from clipneuron.models.clip.model import Clip
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.operations.sizing.scale import TOP
from clipneuron.readers.lenses import Lenses
from clipneuron.readers.pictures import PictureFeed
from clipneuron.store.store import Run, Store
from clipneuron.sweep.stages.calibrate import CalibrateStage
from clipneuron.sweep.stages.effects import EffectsStage
from clipneuron.sweep.stages.plan import PlanStage

WIDTH, HEIGHT, QUALITY = 500, 375, 94
_ROUNDS = 4
"""Batches whose forward passes are timed."""


@dataclass(frozen=True)
class Pass:
    """One pass over the pictures: `forwards` is its time in plain forward passes of the same pictures."""

    forwards: float
    commit_seconds: float
    objects: int
    sizes: dict[str, int]

    def with_layers(self, other: "Pass", trace: float) -> "Pass":
        """A pass over the layers of both, with a single trace, which takes so many forward passes by itself."""
        return Pass(
            self.forwards + other.forwards - trace,
            self.commit_seconds + other.commit_seconds,
            self.objects,
            {name: size + other.sizes[name] for name, size in self.sizes.items()},
        )


@dataclass(frozen=True)
class Measured:
    """A shard of `pictures` pictures through both passes. Sizes are bytes of whole tables, as stored."""

    pictures: int
    neurons: int
    paths: tuple[int, ...]
    calibrate: Pass
    effects: Pass
    tops: int
    """Bytes of the summaries' columns that hold top pictures."""


def flops(model: str) -> float:
    """Floating-point operations of one picture's forward pass, counted by PyTorch on a model without weights."""
    with torch.device("meta"):
        visual = open_clip.create_model(model, pretrained=None, device="meta").visual
        pixels = torch.empty(1, 3, *visual.image_size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        visual(pixels)
    return float(counter.get_total_flops())


def picture(seed: int) -> bytes:
    """A JPEG of noise whose octaves fall off like a photograph's."""
    dice = np.random.default_rng(seed)
    pixels = np.full((HEIGHT, WIDTH, 3), 128.0)
    for octave in range(1, 9):
        size = 2**octave, 2**octave
        noise = dice.normal(0, 60 / octave**0.6, (*size, 3)).clip(-128, 127) + 128
        layer = Image.fromarray(noise.astype(np.uint8)).resize(
            (WIDTH, HEIGHT), Image.Resampling.BICUBIC
        )
        pixels += np.asarray(layer, dtype=np.float64) - 128
    sink = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(sink, "JPEG", quality=QUALITY)
    return sink.getvalue()


def decoding(preprocess: Preprocess, pictures: Sequence[bytes]) -> float:
    """Median seconds of one core for one picture: decode, resize, crop."""
    return statistics.median(seconds(partial(preprocess.decode, data))[0] for data in pictures)


def measured(
    clip: Clip, groups: tuple[tuple[int, ...], ...], batch: int, pictures: int, folder: Path
) -> Measured:
    """Both passes over one shard. `pictures` above 100 fills every neuron's top effects, as in a large shard.

    `effects` sweeps groups of layers one after the other, where memory has no room for all, and counts as one pass.
    """
    images = folder / "pictures"
    images.mkdir()
    for seed in range(pictures):
        (images / f"{seed:04d}.jpg").write_bytes(picture(seed))
    layers = tuple(chain(*groups))
    store = Store(folder / "store")
    run = store.open_run("scale", {"layers": list(layers)})
    collection = open_collection(images)
    plan = PlanStage(collection, len(collection))
    _carried_out(plan, run, run)
    feed = PictureFeed(collection.reader, clip.preprocess)
    calibrate = CalibrateStage(partial(_same, clip), feed, _lenses(layers), batch, plan)
    plain, trace = _forward(clip, batch)
    first = _carried_out(calibrate, run, run, pictures * plain)
    swept = []
    for group in groups:
        stage = EffectsStage(calibrate.clip, feed, _lenses(group), batch, TOP, plan, calibrate)
        target = store.open_run(f"scale-{group[0]}", {"layers": list(group)})
        second = _carried_out(stage, run, target, pictures * plain)
        swept.append((second, _tops(target, stage.name)))
    passes, tops = zip(*swept, strict=True)
    return Measured(
        pictures,
        clip.neurons,
        tuple(map(clip.weights.paths, layers)),
        first,
        reduce(partial(Pass.with_layers, trace=trace / plain), passes),
        sum(tops),
    )


def _tops(run: Run, stage: str) -> int:
    """Bytes of the columns of top pictures, as stored."""
    (file,) = run.files(stage, "summaries")
    about = ParquetFile(file).metadata
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    found = [item for item in columns if item.path_in_schema.startswith("top_")]
    return sum(item.total_compressed_size for item in found)


def _same(clip: Clip) -> Clip:
    return clip


def _lenses(layers: tuple[int, ...]) -> Lenses:
    return Lenses(layers, "equal", True)


@torch.inference_mode()
def _forward(clip: Clip, batch: int) -> tuple[float, float]:
    """Core-seconds of a picture of noise: of a plain forward pass, and of a trace of no layer."""
    pixels = torch.randn(batch, 3, *clip.image_size)
    works = {"plain": lambda: clip.visual(pixels), "trace": lambda: clip.trace(pixels, [])}
    found = least(works, _ROUNDS)
    return found["plain"] / batch, found["trace"] / batch


def _carried_out(stage: Stage, run: Run, target: Run, plain: float = 1.0) -> Pass:
    """Process the stage's only shard, and commit it to `target`: what it reads is in `run`."""
    (shard,) = stage.shards(run)
    loaded = stage.loader(run).load(shard)
    worker = stage.build(stage.share(run))
    working, output = seconds(partial(worker.process, loaded, lambda rows: None))
    committing, commit = seconds(partial(target.commit, stage.name, shard.name, output.tables))
    sizes = {entry.table: entry.size for entry in commit.objects}
    return Pass(working / plain, committing, len(commit.objects) + 1, sizes)
