"""segmentation-scores: the matrix of methods and protocols, with intervals over pictures and paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.config.values.protocols import Protocol
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.scores.resampling import Intervals, intervals, paired_intervals
from clipneuron.lens.scores.segmentation import Counts, figures, picture_sums
from clipneuron.readers.arrow import table_of, tensor
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables
from clipneuron.tables.segmentation import METRICS

SHARD = "matrix"
REFERENCE = "second-order"
"""The method that all others are compared with."""


@dataclass(frozen=True, kw_only=True)
class SegmentationScoresStage(Stage):
    """Adds up what maps came to on all pictures."""

    segmentations: Upstream
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    resources: Resources = Resources()

    kind = "segmentation-scores"
    writes = ("segmentation_scores",)
    unit = "scores"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """What maps came to on each picture."""
        return (self.segmentations,)

    def shards(self, run: Run) -> Sequence[Shard]:
        """A single one: intervals are over all pictures."""
        return [Shard(SHARD, len(self.methods) * len(self.protocols))]

    def loader(self, run: Run) -> "SumsLoader":
        """Reads the counts."""
        return SumsLoader(run, self.segmentations.name, (len(self.protocols), len(self.methods)))

    def share(self, run: Run) -> None:
        """Nothing: the only shard reads everything."""

    def build(self, shared: None) -> "SegmentationScoresWorker":
        """A worker."""
        return SegmentationScoresWorker(self)


@dataclass(frozen=True)
class Sums:
    """What every picture adds to the figures of every method under every protocol."""

    values: Float[Tensor, "protocol method picture column"]
    maps: int


@dataclass(frozen=True)
class SumsLoader:
    """Reads the table `segmentations` in the order of its rows: by pair, then protocol, then method."""

    run: Run
    stage: str
    shape: tuple[int, int]
    """Protocols and methods."""

    def load(self, shard: Shard) -> Sums:
        """The sums of all pictures; raises ValueError where none could be used."""
        columns = ["index", "status", "tp", "fp", "fn", "tn", "ap"]
        rows = self.run.read(self.stage, "segmentations", columns=columns)
        rows = rows.filter(pc.equal(rows["status"], "ok"))
        if not rows.num_rows:
            raise ValueError("no picture with a mask could be used: `clipneuron failures` says why")
        shape = (-1, *self.shape)
        index = rows["index"].to_numpy().reshape(shape)[:, 0, 0]
        _, picture = np.unique(index, return_inverse=True)
        tp, fp, fn, tn, precision = (
            tensor(rows[name]).reshape(shape).permute(1, 2, 0) for name in columns[2:]
        )
        places = torch.from_numpy(picture)
        counts = Counts(tp, fp, fn, tn)
        values = picture_sums(counts, precision, places, int(picture.max()) + 1)
        return Sums(values, len(index))


@dataclass(frozen=True)
class SegmentationScoresWorker:
    """Makes the matrix."""

    stage: SegmentationScoresStage

    @torch.inference_mode()
    def process(self, loaded: Sums, advance: Advance) -> Output:
        """The table `segmentation_scores`."""
        parts = [self._part(loaded, place) for place in range(len(self.stage.protocols))]
        advance(len(self.stage.methods) * len(self.stage.protocols))
        return Output({"segmentation_scores": pa.concat_tables(parts)})

    def _part(self, loaded: Sums, place: int) -> pa.Table:
        """The rows of a protocol."""
        methods, own = self.stage.methods, loaded.values[place]
        columns: dict[str, object] = {
            "method": pa.array(methods, pa.string()),
            "protocol": pa.array([self.stage.protocols[place]] * len(methods), pa.string()),
            "images": pa.array([own.shape[1]] * len(methods), pa.int64()),
            "maps": pa.array([loaded.maps] * len(methods), pa.int64()),
        }
        columns |= _columns("", intervals(own, figures), len(methods))
        columns |= _columns("_over", self._over(own), len(methods))
        columns |= _columns("_control", self._control(loaded, place), len(methods))
        return table_of(columns, tables.schema("segmentation_scores"))

    def _over(self, own: Tensor) -> Intervals | None:
        """The differences to the reference; None where it is not among the methods."""
        methods = self.stage.methods
        if REFERENCE not in methods:
            return None
        return paired_intervals(own, figures, methods.index(REFERENCE))

    def _control(self, loaded: Sums, place: int) -> Intervals | None:
        """The differences to the same with another class's text; None where there is no such control."""
        protocol = Protocol.named(self.stage.protocols[place])
        control = protocol.controlled.name
        if protocol.text == "wrong" or control not in self.stage.protocols:
            return None
        other = loaded.values[self.stage.protocols.index(control)]
        pairs = torch.stack([loaded.values[place], other], dim=1)
        found = [paired_intervals(pair, figures, reference=1) for pair in pairs]
        return Intervals(
            *(torch.stack([each[0] for each in ends]) for ends in zip(*found, strict=True))
        )


def _columns(suffix: str, found: Intervals | None, rows: int) -> Mapping[str, pa.Array]:
    """The columns of all metrics: value, low and high, nulls where nothing was compared."""
    columns = {}
    for place, metric in enumerate(METRICS):
        for end, name in (("value", ""), ("low", "_low"), ("high", "_high")):
            values = None if found is None else getattr(found, end)[:, place].numpy()
            column = pa.nulls(rows, pa.float64()) if values is None else pa.array(values)
            columns[f"{metric}{suffix}{name}"] = column
    return columns
