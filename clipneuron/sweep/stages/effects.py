"""effects: the sweep. Centred norms per picture, and a mergeable summary per neuron and shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import torch
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.summaries import Collector
from clipneuron.lens.trace import Trace
from clipneuron.readers.arrow import fixed_list_column, list_column, table_of
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, Lenses, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.readers.sweep import MeanEffect, mean_effects, summary_table
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True)
class EffectsStage(Stage):
    """One pass over the pictures; memory does not grow with their number."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    top: int
    plan: Upstream
    means: Upstream
    parts: int = 1
    resources: Resources = Resources(pool="clip")

    kind = "effects"
    writes = ("norms", "summaries", "remainders")
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures and the mean effects."""
        return (self.plan, self.means)

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the plan's first `parts` parts."""
        return self.pictures.shards(run, self.parts)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> dict[int, MeanEffect]:
        """The mean effects."""
        return mean_effects(run, self.means.name, self.lenses.layers)

    def build(self, shared: dict[int, MeanEffect]) -> "EffectsWorker":
        """A worker with the model, the mean effects and a lens per layer."""
        return EffectsWorker(self, self.clip(), shared)


class LayerSweep:
    """What one shard leaves of one layer, batch by batch."""

    def __init__(self, lens: SecondOrderLens, mean: MeanEffect, top: int) -> None:
        like = lens.weights.projection
        self.lens, self.layer = lens, lens.layer
        self.mean = mean.coefficients.to(like)
        self.mean_remainder = (mean.remainder @ mean.axes).to(like)
        self.collector = Collector(lens.weights.neurons, lens.paths, top, like.device)
        self.norms = [like.new_zeros(0, lens.weights.neurons)]
        self.remainders = [like.new_zeros(0, len(lens.remainder_basis))]

    def add(self, trace: Trace, images: Tensor) -> None:
        """Take in one batch."""
        coefficients = self.lens.coefficients(trace, self.mean)
        remainders = self.lens.remainders(trace) - self.mean_remainder
        norms = self.lens.norms_of(coefficients, remainders)
        self.collector.add(norms, images, coefficients)
        self.norms.append(norms)
        self.remainders.append(remainders)

    def summaries(self) -> pa.Table:
        """A row per neuron."""
        return summary_table(self.layer, 0, self.collector.summary())

    def remainder_rows(self, images: Tensor) -> pa.Table:
        """A row per picture."""
        columns = {
            "index": images.numpy(),
            "layer": pa.array([self.layer] * len(images), pa.int16()),
            "coordinates": list_column(torch.cat(self.remainders), pa.list_(pa.float32())),
        }
        return table_of(columns, tables.schema("remainders"))


class EffectsWorker:
    """Sweeps one shard after another."""

    def __init__(self, stage: EffectsStage, clip: "Clip", means: dict[int, MeanEffect]) -> None:
        self.stage, self.clip, self.means = stage, clip, means
        wide = stage.lenses.on(clip)
        self.lenses = {layer: lens.narrowed(means[layer].axes) for layer, lens in wide.items()}

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The tables `norms`, `summaries` and `remainders`."""
        sweeps = [
            LayerSweep(lens, self.means[layer], self.stage.top)
            for layer, lens in self.lenses.items()
        ]
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            trace = trace_of(self.clip, pixels, self.stage.lenses.layers)
            images = torch.tensor([picture.index for picture in pictures])
            for sweep in sweeps:
                sweep.add(trace, images)
            advance(len(pictures))
        advance(len(loaded.failures))
        return Output(_tables(loaded, sweeps), loaded.failures)


def _tables(loaded: Batch, sweeps: Sequence[LayerSweep]) -> dict[str, pa.Table]:
    images = torch.tensor([picture.index for picture in loaded.good], dtype=torch.int64)
    return {
        "norms": _norms(loaded, sweeps),
        "summaries": pa.concat_tables([sweep.summaries() for sweep in sweeps]),
        "remainders": pa.concat_tables([sweep.remainder_rows(images) for sweep in sweeps]),
    }


def _norms(loaded: Batch, sweeps: Sequence[LayerSweep]) -> pa.Table:
    present = torch.tensor(loaded.present, dtype=torch.bool)
    columns: dict[str, object] = dict(loaded.rows())
    for sweep in sweeps:
        norms = torch.cat(sweep.norms).float()
        columns[f"layer_{sweep.layer}"] = fixed_list_column(norms, present)
    neurons = sweeps[0].lens.weights.neurons
    layers = [sweep.layer for sweep in sweeps]
    return table_of(columns, tables.schema("norms", layers=layers, neurons=neurons))
