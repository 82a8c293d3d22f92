"""activations: the mean activation of every neuron at every token, which indirect effects are measured from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.indirect import ActivationSums
from clipneuron.readers.arrow import list_column, table_of
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.readers.sweep import grown
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True)
class ActivationMeansStage(Stage):
    """Sums the activations of some layers at every token over the pictures of the sweep."""

    clip: ClipLoader
    pictures: PictureFeed
    layers: tuple[int, ...]
    batch_size: int
    plan: Upstream
    parts: int = 1
    resources: Resources = Resources(pool="clip")

    kind = "activation-means"
    writes = ("activation_means",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures."""
        return (self.plan,)

    @property
    def identity(self) -> Mapping[str, object]:
        """The layers and, once the collection has grown, how many parts of the plan there are."""
        return {"layers": self.layers, **grown(self.parts)}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the plan's first `parts` parts."""
        return self.pictures.shards(run, self.parts)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> None:
        """Nothing but the model, which the stage brings along."""

    def build(self, shared: None) -> "ActivationMeansWorker":
        """A worker with the model."""
        return ActivationMeansWorker(self, self.clip())


class ActivationMeansWorker:
    """Sums one shard after another."""

    def __init__(self, stage: ActivationMeansStage, clip: "Clip") -> None:
        self.stage, self.clip = stage, clip

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `activation_means`."""
        sums: dict[int, ActivationSums] = {}
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            trace = trace_of(self.clip, pixels, self.stage.layers)
            for layer in self.stage.layers:
                mine = ActivationSums.of(trace.activations[layer])
                sums[layer] = sums[layer] + mine if layer in sums else mine
            del trace  # before the next batch passes: activations take gigabytes
            advance(len(pictures))
        advance(len(loaded.failures))
        schema = tables.schema("activation_means")
        parts = [_sums_table(layer, found) for layer, found in sums.items()]
        table = pa.concat_tables([schema.empty_table(), *parts])
        return Output({"activation_means": table}, loaded.failures)


def _sums_table(layer: int, found: ActivationSums) -> pa.Table:
    tokens = len(found.sums)
    columns = {
        "layer": pa.array(np.full(tokens, layer, np.int16)),
        "token": pa.array(range(tokens), pa.int32()),
        "count": pa.array([found.count] * tokens, pa.int64()),
        "activations": list_column(found.sums, pa.list_(pa.float64())),
    }
    return table_of(columns, tables.schema("activation_means"))
