"""The accuracies of the zero-shot classifier under each ablation, where both runs were reproduced."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.operations.compare.sides import Side
from clipneuron.store.store import Run
from clipneuron.tables.ablations import Ablation

_KEY = ("ablation", "layer", "head")
_COLUMNS = (*_KEY, "status", "label", "prediction")


class AccuracyChange(NamedTuple):
    """The accuracy of one ablation in both runs, over the labelled pictures that each could use."""

    ablation: Ablation
    pictures_a: int
    pictures_b: int
    a: float
    b: float

    @property
    def difference(self) -> float:
        """That of B less that of A."""
        return self.b - self.a


def accuracy_changes(a: Side, b: Side) -> list[AccuracyChange]:
    """Every ablation that both runs have, the largest fall first; none where one was not reproduced."""
    if a.evidence is None or b.evidence is None:
        return []
    one, other = (_accuracies(side.run, side.evidence.predictions) for side in (a, b))  # type: ignore[union-attr]
    found = [
        AccuracyChange(key, one[key][0], other[key][0], one[key][1], other[key][1])
        for key in one
        if key in other
    ]
    return sorted(found, key=lambda change: (change.difference, change.ablation))


def _accuracies(run: Run, stages: Sequence[str]) -> dict[Ablation, tuple[int, float]]:
    """Pictures and accuracy of each ablation; what several stages have alike, by the first."""
    found: dict[Ablation, tuple[int, float]] = {}
    for stage in filter(run.done, stages):
        sums = pa.concat_tables(
            [_counted(part) for _, part in run.scan(stage, "predictions", columns=_COLUMNS)]
        )
        total = sums.group_by(list(_KEY)).aggregate([("right_count", "sum"), ("right_sum", "sum")])
        own = {
            Ablation(row["ablation"], row["layer"], row["head"]): (
                row["right_count_sum"],
                row["right_sum_sum"] / row["right_count_sum"],
            )
            for row in total.to_pylist()
        }
        found = own | found
    return found


def _counted(table: pa.Table) -> pa.Table:
    """Labelled pictures and right predictions of a shard, a row per ablation."""
    fine = table.filter((pc.field("status") == "ok") & pc.field("label").is_valid())
    right = pc.fill_null(pc.equal(fine["prediction"], fine["label"]), False).cast(pa.int64())
    sums: pa.Table = (
        fine.select(list(_KEY))
        .append_column("right", right)
        .group_by(list(_KEY))
        .aggregate([("right", "count"), ("right", "sum")])
    )
    return sums


def largest_fall(changes: Sequence[AccuracyChange]) -> float:
    """By how much the accuracy fell where it fell most, 0 where it fell nowhere."""
    return float(max(0.0, -np.min([change.difference for change in changes])))
