"""How figures are spread over the neurons of a layer, and how large the first-order effects of heads are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.store.store import Run

PerNeuron = NDArray[np.float64]

VARIANCES = (
    "explained_variance",
    "explained_variance_all",
    "second_order_variance",
    "second_order_variance_all",
)

SUMS = ("count", "above", "energy", "energy_above")
"""Of the table `significance`."""


@dataclass(frozen=True)
class Variances:
    """Shares of variance along the first principal direction, of the same neurons on the same pictures (Table 1).

    `indirect` and `second_order` are of the top effects, `_all` of all pictures' effects. [neuron]
    """

    neurons: NDArray[np.int64]
    pictures: int
    indirect: PerNeuron
    indirect_all: PerNeuron
    second_order: PerNeuron
    second_order_all: PerNeuron


@dataclass(frozen=True)
class Distributions:
    """Figures of neurons by layer, NaN for a neuron without any effect; empty where nothing was computed.

    explained: share of the top effects' variance along the first principal direction.
    participation: effective share of pictures (sum x^2)^2 / (n sum x^4) of D.
    above: share of the evaluation's pictures whose effect is above the neuron's 98 % quantile over D.
    energy: share that these pictures have in the sum of |phi - b|^2 over the evaluation's pictures.
    indirect: the comparison with indirect effects.
    heads: root mean square size of first-order effects by attention layer [layer, head], no rows if not computed.
    """

    explained: Mapping[int, PerNeuron]
    participation: Mapping[int, PerNeuron]
    above: Mapping[int, PerNeuron]
    energy: Mapping[int, PerNeuron]
    indirect: Mapping[int, Variances]
    heads: PerNeuron

    @classmethod
    def of(
        cls, run: Run, directions: str, significance: str, indirect: str, first_order: str
    ) -> "Distributions":
        """Read from the stages of these names; what has not been committed stays empty."""
        known = _read(run, directions, "directions", ("explained_variance", "participation"))
        sums = _summed(_read(run, significance, "significance", SUMS))
        return cls(
            explained=_by_layer(known, lambda rows: _floats(rows, "explained_variance")),
            participation=_by_layer(known, lambda rows: _floats(rows, "participation")),
            above=_by_layer(sums, lambda rows: _share(rows, "above", "count")),
            energy=_by_layer(sums, lambda rows: _share(rows, "energy_above", "energy")),
            indirect=_variances(run, indirect),
            heads=_head_sizes(run, first_order),
        )

    def table(self) -> pa.Table:
        """A row per layer and neuron with explained_variance, participation, above and energy_above."""
        parts = [self._layer(layer) for layer in sorted(self.explained)]
        return pa.concat_tables(parts) if parts else pa.table({"layer": [], "neuron": []})

    def _layer(self, layer: int) -> pa.Table:
        neurons = len(self.explained[layer])
        unknown = np.full(neurons, np.nan)
        return pa.table(
            {
                "layer": np.full(neurons, layer),
                "neuron": np.arange(neurons),
                "explained_variance": self.explained[layer],
                "participation": self.participation[layer],
                "above": self.above.get(layer, unknown),
                "energy_above": self.energy.get(layer, unknown),
            }
        )


def finite(values: PerNeuron) -> PerNeuron:
    """The values without those that are not defined."""
    return values[np.isfinite(values)]


def _read(run: Run, stage: str, table: str, columns: Sequence[str]) -> pa.Table | None:
    if not stage or not run.done(stage):
        return None
    return run.read(stage, table, columns=["layer", "neuron", *columns])


def _by_layer(
    table: pa.Table | None, figure: Callable[[pa.Table], PerNeuron]
) -> dict[int, PerNeuron]:
    """The figure of each layer's rows, in the order of their neurons."""
    if table is None:
        return {}
    layers = sorted(pc.unique(table["layer"]).to_pylist())
    return {
        layer: figure(table.filter(pc.field("layer") == layer).sort_by("neuron"))
        for layer in layers
    }


def _floats(table: pa.Table, name: str) -> PerNeuron:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _summed(table: pa.Table | None) -> pa.Table | None:
    """Counts and energies of all shards together."""
    if table is None:
        return None
    return table.group_by(["layer", "neuron"]).aggregate([(name, "sum") for name in SUMS])


def _share(table: pa.Table, part: str, whole: str) -> PerNeuron:
    wholes = _floats(table, f"{whole}_sum")
    share: PerNeuron = np.full(len(wholes), np.nan)
    np.divide(_floats(table, f"{part}_sum"), wholes, out=share, where=wholes > 0)
    return share


def _variances(run: Run, stage: str) -> dict[int, Variances]:
    table = _read(run, stage, "indirect_directions", ("count", *VARIANCES))
    if table is None:
        return {}
    found = {}
    for layer in sorted(pc.unique(table["layer"]).to_pylist()):
        rows = table.filter(pc.field("layer") == layer).sort_by("neuron")
        figures = (_floats(rows, name) for name in VARIANCES)
        found[layer] = Variances(rows["neuron"].to_numpy(), int(rows["count"][0].as_py()), *figures)
    return found


def _head_sizes(run: Run, stage: str) -> PerNeuron:
    if not stage or not run.done(stage):
        return np.empty((0, 0))
    table = run.read(stage, "first_order", columns=["layer", "head", "count", "square_sum"])
    counts, squares = ([("count", "sum")], [("square_sum", "sum")])
    sums = table.group_by(["layer", "head"]).aggregate(counts + squares)
    layers, heads = sums["layer"].to_numpy(), sums["head"].to_numpy()
    sizes = np.full((layers.max() + 1, heads.max() + 1), np.nan)
    sizes[layers, heads] = np.sqrt(_floats(sums, "square_sum_sum") / _floats(sums, "count_sum"))
    return sizes
