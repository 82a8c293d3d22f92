"""projections: what every neuron writes along its direction on held-out pictures, in one pass for all layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.ablations import representations
from clipneuron.lens.projections import LayerProjections, Written
from clipneuron.readers.arrow import (
    fixed_list_column,
    list_column,
    neuron_columns,
    table_of,
)
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, Lenses, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.readers.written import SweptNeurons, swept_neurons
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables
from clipneuron.tables.halves import half_of

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

FLOATS = pa.list_(pa.float32())


@dataclass(frozen=True)
class ProjectionsStage(Stage):
    """One pass over the held-out pictures."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    plan: Upstream
    """Of the held-out pictures."""
    means: Upstream
    directions: Upstream
    resources: Resources = Resources(pool="clip")

    kind = "projections"
    writes = ("projections", "patch_activations", "acting_effects")
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, the mean effects and the directions."""
        return (self.plan, self.means, self.directions)

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the held-out pictures."""
        return self.pictures.shards(run, parts=1)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> SweptNeurons:
        """Means, directions and thresholds."""
        return swept_neurons(run, self.means.name, self.directions.name, self.lenses.layers)

    def build(self, shared: SweptNeurons) -> "ProjectionsWorker":
        """A worker with the model and the directions of every layer."""
        return ProjectionsWorker(self, self.clip(), shared)


class ProjectionsWorker:
    """Projects the effects on one shard of pictures after another."""

    def __init__(self, stage: ProjectionsStage, clip: "Clip", known: SweptNeurons) -> None:
        self.stage, self.clip = stage, clip
        with torch.inference_mode():
            self.layers = {
                layer: known.projections(lens) for layer, lens in stage.lenses.on(clip).items()
            }

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The tables `projections`, `patch_activations` and `acting_effects`."""
        gathered = {layer: _Gathered() for layer in self.layers}
        embeddings = [torch.zeros(0, self.clip.embed)]
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            trace = trace_of(self.clip, pixels, self.stage.lenses.layers)
            embeddings.append(representations(trace).float().cpu())
            for layer, item in self.layers.items():
                # The class token's activation is none of a patch.
                patches = trace.activations[layer][:, 1:].float().mean(1)
                gathered[layer].add(item.of(trace), patches)
            del trace  # before the next batch passes: activations take gigabytes
            advance(len(pictures))
        advance(len(loaded.failures))
        return Output(self._tables(loaded, gathered, torch.cat(embeddings)), loaded.failures)

    def _tables(
        self, loaded: Batch, gathered: Mapping[int, "_Gathered"], embeddings: Tensor
    ) -> dict[str, pa.Table]:
        wide = {"layers": [*gathered], "neurons": self.clip.neurons}
        halves = [half_of(picture.image) for picture in loaded.pictures]
        present = torch.tensor(loaded.present, dtype=torch.bool)
        columns: dict[str, object] = {**loaded.rows(), "half": pa.array(halves, pa.string())}
        columns["embedding"] = fixed_list_column(embeddings, present).cast(FLOATS)
        fit = torch.tensor([half == "fit" for half in halves], dtype=torch.bool)[present]
        indices = torch.tensor([picture.index for picture in loaded.good], dtype=torch.int64)
        numbers = indices[fit].numpy()
        active: dict[str, object] = {"index": pa.array(numbers, pa.int64())}
        everyone = torch.ones(len(numbers), dtype=torch.bool)
        for layer, found in gathered.items():
            name, empty = f"layer_{layer}", torch.zeros(0, self.clip.neurons)
            columns[name] = fixed_list_column(torch.cat([empty, *found.projections]), present)
            patches = torch.cat([empty, *found.activations])[fit]
            active[name] = fixed_list_column(patches, everyone)
        sums = [found.table(layer, self.layers[layer]) for layer, found in gathered.items()]
        return {
            "projections": table_of(columns, tables.schema("projections", **wide)),
            "patch_activations": table_of(active, tables.schema("patch_activations", **wide)),
            "acting_effects": pa.concat_tables(sums),
        }


class _Gathered:
    """What a shard leaves of a layer, batch by batch."""

    def __init__(self) -> None:
        self.projections: list[Tensor] = []
        self.activations: list[Tensor] = []
        self.sums: tuple[Tensor, Tensor, Tensor] | None = None

    def add(self, written: Written, activations: Tensor) -> None:
        self.projections.append(written.projections.float().cpu())
        self.activations.append(activations.cpu())
        own = written.acting.sum(0).double(), written.coefficients, written.remainders
        self.sums = own if self.sums is None else _plus(self.sums, own)

    def table(self, layer: int, item: LayerProjections) -> pa.Table:
        """The layer's rows of `acting_effects`."""
        lens = item.lens
        neurons, schema = lens.weights.neurons, tables.schema("acting_effects")
        axes = len(lens.remainder_basis)
        nothing = torch.zeros(neurons), torch.zeros(neurons, lens.paths), torch.zeros(neurons, axes)
        counts, coefficients, coordinates = self.sums or nothing
        columns = {
            **neuron_columns(layer, 0, neurons),
            "count": counts.cpu().numpy().astype(np.int64),
            "coefficients": list_column(coefficients.float(), FLOATS),
            "coordinates": list_column(coordinates.float(), FLOATS),
        }
        return table_of(columns, schema)


def _plus(
    one: tuple[Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
