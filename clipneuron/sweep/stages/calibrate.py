"""calibrate: the mean effect of every neuron over D, as sums of coefficients per shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.summaries import Moments
from clipneuron.readers.arrow import list_column, neuron_columns, table_of
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, Lenses, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed, spread
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True)
class CalibrateStage(Stage):
    """One pass over the pictures that sums s and the remainders of every asked layer."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    plan: Upstream
    on: int = 0
    """Pictures that the means are taken from, spread evenly over the first plan; 0 for all."""
    resources: Resources = Resources(pool="clip")

    kind = "calibrate"
    writes = ("means", "remainder_means")
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures."""
        return (self.plan,)

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the first plan: pictures that are added later do not move the means of earlier ones."""
        shards = self.pictures.shards(run, parts=1)
        return spread(shards, self.on) if self.on else shards

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> None:
        """Nothing but the model, which the stage brings along."""

    def build(self, shared: None) -> "CalibrateWorker":
        """A worker with the model and a lens per layer."""
        return CalibrateWorker(self, self.clip())


class CalibrateWorker:
    """Sums the coefficients of one shard after another."""

    def __init__(self, stage: CalibrateStage, clip: "Clip") -> None:
        self.stage, self.clip = stage, clip
        self.lenses = stage.lenses.on(clip)

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The tables `means` and `remainder_means`."""
        sums = {layer: self._nothing(lens) for layer, lens in self.lenses.items()}
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            trace = trace_of(self.clip, pixels, self.stage.lenses.layers)
            for layer, lens in self.lenses.items():
                sums[layer] += Moments.summed(lens.coefficient_sum(trace), lens.remainders(trace))
            del trace  # before the next batch passes: activations take gigabytes
            advance(len(pictures))
        advance(len(loaded.failures))
        for layer, found in sums.items():
            _check_finite(layer, found)
        return Output(_tables(sums), loaded.failures)

    @staticmethod
    def _nothing(lens: SecondOrderLens) -> Moments:
        like, size = lens.weights.projection, len(lens.remainder_basis)
        empty = like.new_zeros(0, lens.weights.neurons, lens.paths), like.new_zeros(0, size)
        return Moments.of(*empty)


def _check_finite(layer: int, sums: Moments) -> None:
    """Raises ValueError: one picture that is no number would make all means, norms and directions none."""
    if sums.coefficients.isfinite().all() and sums.remainders.isfinite().all():
        return
    raise ValueError(
        f"effects of layer {layer} are not finite on some picture: float16 ends at 65,504, and activations of this "
        "model may be larger; choose `recipe.dtype` bfloat16 or float32"
    )


def _tables(sums: dict[int, Moments]) -> dict[str, pa.Table]:
    means, remainders = tables.schema("means"), tables.schema("remainder_means")
    return {
        "means": pa.concat_tables([_means(layer, item, means) for layer, item in sums.items()]),
        "remainder_means": pa.concat_tables(
            [_remainder_means(layer, item, remainders) for layer, item in sums.items()]
        ),
    }


def _means(layer: int, moments: Moments, schema: pa.Schema) -> pa.Table:
    neurons = len(moments.coefficients)
    columns = {
        **neuron_columns(layer, 0, neurons),
        "count": pa.array([moments.count] * neurons, pa.int64()),
        "coefficients": list_column(moments.coefficients, pa.list_(pa.float64())),
    }
    return table_of(columns, schema)


def _remainder_means(layer: int, moments: Moments, schema: pa.Schema) -> pa.Table:
    columns = {
        "layer": pa.array([layer], pa.int16()),
        "count": pa.array([moments.count], pa.int64()),
        "coordinates": list_column(moments.remainders[None], pa.list_(pa.float64())),
        "products": list_column(moments.products[None], pa.list_(pa.float64())),
    }
    return table_of(columns, schema)
