"""heats: where in the pictures of its page a neuron acts; one pass of the model per picture, for all its neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from clipneuron.atlas.gather.pictured import shown_shards
from clipneuron.atlas.shades import encoded
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import table_of
from clipneuron.readers.lenses import ClipLoader, Lenses, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.readers.written import SweptNeurons, swept_neurons
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

Wanted = tuple[Batch, pa.Table]
"""Pictures, and the neurons of each: the columns index, layer and neuron."""


@dataclass(frozen=True, kw_only=True)
class HeatsStage(Stage):
    """Looks once at every picture that is shown."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    plan: Upstream
    means: Upstream
    directions: Upstream
    shown: Upstream
    shard_size: int = 256
    resources: Resources = Resources(pool="clip")

    kind = "heats"
    writes = ("heats",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, the mean effects, the directions, and which pictures are shown."""
        return (self.plan, self.means, self.directions, self.shown)

    def shards(self, run: Run) -> Sequence[Shard]:
        """The distinct pictures by their numbers, so many at a time."""
        return shown_shards(run, self.plan.name, self.shown.name, self.shard_size)

    def loader(self, run: Run) -> "WantedFeed":
        """Reads and decodes pictures, and which neurons show them."""
        return WantedFeed(run, self.shown.name, self.pictures)

    def share(self, run: Run) -> SweptNeurons:
        """Means, directions and thresholds."""
        return swept_neurons(run, self.means.name, self.directions.name, self.lenses.layers)

    def build(self, shared: SweptNeurons) -> "HeatsWorker":
        """A worker with the model and the directions of every layer."""
        return HeatsWorker(self, self.clip(), shared)


@dataclass(frozen=True)
class WantedFeed:
    """Reads pictures with the neurons that show them."""

    run: Run
    shown: str
    pictures: PictureFeed

    decodes = True

    def load(self, shard: Shard) -> Wanted:
        """The shard's pictures, decoded, and its rows of the table `shown_pictures`, each pair once."""
        index = shard.payload["index"]
        own = [
            ("index", ">=", pc.min(index).as_py()),
            ("index", "<=", pc.max(index).as_py()),
        ]
        columns = ["index", "layer", "neuron"]
        rows = self.run.read(self.shown, "shown_pictures", columns=columns, filters=own)
        return self.pictures.load(shard), rows.group_by(columns).aggregate([]).sort_by(
            [(name, "ascending") for name in ("layer", "index", "neuron")]
        )


class HeatsWorker:
    """Looks at one shard of pictures after another."""

    def __init__(self, stage: HeatsStage, clip: "Clip", known: SweptNeurons) -> None:
        self.stage, self.clip = stage, clip
        with torch.inference_mode():
            self.layers = {
                layer: known.projections(lens) for layer, lens in stage.lenses.on(clip).items()
            }

    @torch.inference_mode()
    def process(self, loaded: Wanted, advance: Advance) -> Output:
        """The table `heats`, sorted by layer, so that those who read a layer find its rows together."""
        batch, wanted = loaded
        columns = (wanted[name].to_numpy() for name in ("layer", "index", "neuron"))
        asked: dict[tuple[int, int], list[int]] = {}
        for layer, index, neuron in zip(*(column.tolist() for column in columns), strict=True):
            asked.setdefault((layer, index), []).append(neuron)
        schema = tables.schema("heats")
        parts = [schema.empty_table()]
        for pictures, pixels in batch.slices(self.stage.batch_size):
            trace = trace_of(self.clip, pixels, self.stage.lenses.layers)
            for layer, projections in self.layers.items():
                on_patches = projections.on_patches(trace)
                for place, picture in enumerate(pictures):
                    if neurons := asked.get((layer, picture.index)):
                        found = on_patches.of(place, torch.tensor(neurons))
                        rows = _rows_of(found[0].shape[1], pixels.shape[-2:])
                        own = _columns(layer, neurons, picture.index, rows, *found)
                        parts.append(table_of(own, schema))
            del trace, on_patches  # before the next batch passes: activations take gigabytes
            advance(len(pictures))
        advance(len(batch.failures))
        order = [(name, "ascending") for name in ("layer", "neuron", "index")]
        return Output({"heats": pa.concat_tables(parts).sort_by(order)}, batch.failures)


def _rows_of(patches: int, size: tuple[int, int]) -> int:
    """Rows of a grid of square patches over pixels of this height and width."""
    height, width = size
    return isqrt(round(patches * height / width))


def _columns(
    layer: int, neurons: Sequence[int], index: int, rows: int, patches: Tensor, effects: Tensor
) -> Mapping[str, object]:
    values = patches.float().cpu().numpy()
    scale = np.abs(values).max(axis=1, initial=0).astype(np.float32)
    shares = values / np.where(scale > 0, scale, 1)[:, None]
    heat = encoded(shares)
    count = len(neurons)
    return {
        "layer": np.full(count, layer, np.int16),
        "neuron": np.array(neurons, np.int32),
        "index": np.full(count, index, np.int64),
        "effect": effects.float().cpu().numpy(),
        "rows": np.full(count, rows, np.int16),
        "scale": scale,
        "heat": pa.array([row.tobytes() for row in heat], pa.binary()),
    }
