"""Predictions of one shard, gathered batch by batch and written as the table `predictions`."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipneuron.readers.arrow import table_of
from clipneuron.readers.pictures import Batch
from clipneuron.tables import registry as tables
from clipneuron.tables.ablations import NONE, Ablation


class Predictions:
    """The classes of a shard's good pictures under each ablation."""

    def __init__(self, classifier: Float[Tensor, "class embed"]) -> None:
        self.classifier = classifier
        self._found: dict[Ablation, list[Tensor]] = {}

    def add(self, representations: Mapping[Ablation, Float[Tensor, "image embed"]]) -> None:
        """Classify one batch; what the text tower thinks of a representation does not depend on its length."""
        for ablation, values in representations.items():
            logits = values.to(self.classifier) @ self.classifier.T
            self._found.setdefault(ablation, []).append(logits.argmax(1))

    def table(self, loaded: Batch) -> pa.Table:
        """A row per good picture and ablation, and one per picture that failed."""
        rows = pa.table(loaded.rows())
        good = pa.array([failed is None for failed in rows["reason"].to_pylist()])
        parts = [
            _part(rows.filter(good), ablation, torch.cat(found).cpu().numpy())
            for ablation, found in self._found.items()
        ]
        failed = rows.filter(pa.compute.invert(good))
        return pa.concat_tables([*parts, _part(failed, NONE, None)])


def _part(
    rows: pa.Table, ablation: Ablation, predictions: Int[np.ndarray, "image"] | None
) -> pa.Table:
    count = rows.num_rows
    columns = {
        **{name: rows[name] for name in rows.column_names},
        "layer": pa.array(np.full(count, ablation.layer, np.int16)),
        "head": pa.array(np.full(count, ablation.head, np.int16)),
        "ablation": pa.array([ablation.name] * count, pa.string()),
        "prediction": pa.nulls(count, pa.int32())
        if predictions is None
        else pa.array(predictions.astype(np.int32)),
    }
    return table_of(columns, tables.schema("predictions"))
