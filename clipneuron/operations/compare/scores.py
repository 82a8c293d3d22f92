"""How true the words of neurons are, as each run was explained."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.operations.compare.arrays import floats
from clipneuron.operations.compare.sides import Floats, Ints, Side, keys_of

METRICS = ("correlation", "auprc")


def scores_of(side: Side, keys: Ints) -> dict[str, Floats]:
    """The scores of the run's own words for the neurons with these keys, rising; NaN for those without."""
    found = {metric: np.full(len(keys), np.nan) for metric in METRICS}
    table = _read(side, METRICS)
    own = keys_of(table)
    row = np.searchsorted(keys, own).clip(max=len(keys) - 1)
    wanted = keys[row] == own
    for metric in METRICS:
        found[metric][row[wanted]] = floats(table[metric])[wanted]
    return found


def witness_of(side: Side) -> str | None:
    """Who said what is true of pictures; None where the run was not explained."""
    if side.explanation is None:
        return None
    rows = _read(side, ("by",))
    return str(rows["by"][0].as_py()) if rows.num_rows else None


def _read(side: Side, columns: tuple[str, ...]) -> pa.Table:
    """The scores of the describer that is the run's own: the stage whose words are compared."""
    if side.explanation is None:
        raise ValueError(
            f"run {side.name} was not explained: `clipneuron explain` scores its words"
        )
    stages = side.explanation.describers
    own = [name for name, stage in stages.items() if stage == side.results.descriptions]
    wanted = ["layer", "neuron", "describer", *columns]
    table = side.run.read(side.explanation.scores, "scores", columns=wanted)
    return table.filter(pc.is_in(table["describer"], pa.array(own, pa.string())))
