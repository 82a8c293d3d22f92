"""CoSy's scores of a run read back, and what they come to per describer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.explanation.pipeline import CONTROL
from clipneuron.reports.estimates import Estimate, estimate, finite_mean
from clipneuron.store.store import Run

COLUMNS = {
    "auc": "AUC",
    "mad": "MAD",
    "written_auc": "AUC, written",
    "written_mad": "MAD, written",
}
"""Columns of the table and what they are called: by the mean activation of patches, and by what is written along r."""

DRAWS = 400
"""Of the bootstrap: intervals are over hundreds of neurons."""

HEADINGS = ("describer", "neurons", *COLUMNS.values(), "MAD over control")

NOTE = (
    "CoSy's scores on painted pictures of each neuron's first word of positive weight: they hardly notice wrong words, "
    "and stand here beside published figures"
)


@dataclass(frozen=True)
class CosyRow:
    """A describer's means over the neurons whose word could be painted.

    over_control: the mean difference in MAD to another neuron's word, with its interval over neurons; None of itself.
    """

    describer: str
    neurons: int
    means: Mapping[str, float]
    over_control: Estimate | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        over = self.over_control
        shown = f"{over.value:+.2f} ({over.low:+.2f} to {over.high:+.2f})" if over else "-"
        means = (f"{self.means[name]:.3f}" for name in COLUMNS)
        return (self.describer, f"{self.neurons:,}", *means, shown)


def cosy_rows(run: Run, stage: str | None, describers: Sequence[str]) -> list[CosyRow]:
    """A row per describer, in their order; none where nobody painted."""
    if stage is None:
        return []
    order = [("layer", "ascending"), ("neuron", "ascending")]
    table = run.read(stage, "cosy_scores").sort_by(order)
    own = {name: table.filter(pc.equal(table["describer"], name)) for name in describers}
    values = {
        name: {
            column: rows[column].to_numpy(zero_copy_only=False).astype(np.float64)
            for column in COLUMNS
        }
        for name, rows in own.items()
    }
    return [
        CosyRow(
            name,
            int(np.isfinite(found["mad"]).sum()),
            {column: finite_mean(numbers) for column, numbers in found.items()},
            None if name == CONTROL else _over(found["mad"], values[CONTROL]["mad"]),
        )
        for name, found in values.items()
    ]


def _over(values: NDArray[np.float64], control: NDArray[np.float64]) -> Estimate | None:
    differences = values - control
    known = differences[np.isfinite(differences)]
    if len(known) < 2:
        return None
    return estimate(known, DRAWS)
