"""The two runs of a comparison: which they are, which stages hold their results, and whether these are complete."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.concepts.results import ConceptResults
from clipneuron.evidence.results import EvidenceResults
from clipneuron.explanation.results import ExplanationResults
from clipneuron.store.store import Run, Store
from clipneuron.sweep.neurons import without_words
from clipneuron.sweep.results import SweepResults

_SCALARS = ("layer", "neuron", "explained_variance", "note", "threshold")
_ALIVE = 1800.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """One of two runs that are compared, with the stages that hold its last results."""

    run: Run
    results: SweepResults
    explanation: ExplanationResults | None
    evidence: EvidenceResults | None
    concepts: ConceptResults | None = None

    @classmethod
    def of(cls, run: Run) -> "Side":
        """The side of a run; raises ValueError that says what is missing where it is not complete, StoreError."""
        swept = run.results(SweepResults)
        if not swept:
            raise ValueError(_incomplete(run, "it has no directions and words yet"))
        results = swept[0]
        for stage in (results.directions, results.descriptions):
            _check_complete(run, stage)
        if why := without_words(run, results.descriptions):
            raise ValueError(why)
        explained, reproduced = run.results(ExplanationResults), run.results(EvidenceResults)
        scored = next((item for item in explained if run.done(item.scores)), None)
        judged = next((item for item in reproduced if any(map(run.done, item.predictions))), None)
        named = next(
            (item for item in run.results(ConceptResults) if run.done(item.concepts)), None
        )
        return cls(run, results, scored, judged, named)

    @property
    def name(self) -> str:
        """The run's."""
        return self.run.name

    @cached_property
    def neurons(self) -> "Neurons":
        """What is short of all its neurons, read once; raises StoreError."""
        return Neurons.of(self.run, self.results.directions)

    @property
    def layers(self) -> tuple[int, ...]:
        """Those that have directions, rising."""
        return tuple(self.neurons.shards)


@dataclass(frozen=True)
class Neurons:
    """What the table `directions` says of all neurons of a run, but for what is long; by layer and neuron."""

    table: pa.Table
    shards: Mapping[int, tuple[str, ...]]
    """Those that each layer is in."""

    @classmethod
    def of(cls, run: Run, stage: str) -> "Neurons":
        """Read from a stage, one shard in memory at a time; raises StoreError."""
        first = next(iter(run.committed(stage).values())).stored("directions")
        known = run.schema_of(first).names  # an earlier version had no notes
        parts, places = [], dict[int, list[str]]()
        for shard, part in run.scan(
            stage, "directions", columns=[name for name in _SCALARS if name in known]
        ):
            parts.append(part)
            for layer in pc.unique(part["layer"]).to_pylist():
                places.setdefault(layer, []).append(shard)
        table = pa.concat_tables(parts, promote_options="default")
        if "note" not in table.column_names:
            table = table.append_column("note", pa.nulls(table.num_rows, pa.string()))
        order = [("layer", "ascending"), ("neuron", "ascending")]
        return cls(
            table.sort_by(order).combine_chunks(),
            {layer: tuple(places[layer]) for layer in sorted(places)},
        )

    @cached_property
    def keys(self) -> Ints:
        """A number per neuron that orders them by layer and neuron."""
        return keys_of(self.table)

    def of_layer(self, layer: int) -> pa.Table:
        """The rows of one layer, by neuron."""
        layers = self.table["layer"].to_numpy()
        first, last = np.searchsorted(layers, (layer, layer + 1))
        return self.table.slice(int(first), int(last - first))


def keys_of(table: pa.Table) -> Ints:
    """A number per row of a table with the columns layer and neuron, the same for the same neuron."""
    layer, neuron = (table[name].to_numpy().astype(np.int64) for name in ("layer", "neuron"))
    keys: Ints = (layer << 32) + neuron
    return keys


def two_runs(
    store: Store, names: tuple[str, ...], last: int = 0, other: Store | None = None
) -> tuple[Run, Run]:
    """The runs of two names, or the newest one after the one that was the newest `last` - 1 runs before.

    With `last`, a name says how the names of the runs begin that count. Raises ValueError for any other choice.
    """
    if last:
        return _newest(store, names, last)
    if len(names) != 2:
        raise ValueError("name two runs to compare, or ask for the newest two with --last 2")
    found = store.find_run(names[0]), (other or store).find_run(names[1])
    if found[0].url == found[1].url:
        raise ValueError(
            f"{names[0]!r} and {names[1]!r} are the same run, {found[0].name}: name two"
        )
    return found


def _newest(store: Store, names: tuple[str, ...], last: int) -> tuple[Run, Run]:
    if last < 2 or len(names) > 1:
        raise ValueError(
            "--last 2 compares the two newest runs, --last 3 the newest one with the second one before it; "
            "at most one name beside it says how their names begin"
        )
    begins = names[0] if names else ""
    runs = [run for run in store.look(begins) if isinstance(run, Run)]
    runs.sort(key=lambda run: run.record.created_at)
    if len(runs) < last:
        there = ", ".join(run.name for run in runs) or "none"
        which = f" whose names begin with {begins!r}" if begins else ""
        raise ValueError(
            f"--last {last} needs as many runs{which} in {store.objects.url}; there are {len(runs)}: {there}"
        )
    return runs[-last], runs[-1]


def _check_complete(run: Run, stage: str) -> None:
    seen = run.progress(stage, within=_ALIVE)
    if seen.damaged:
        raise ValueError(f"run {run.name}: {seen.damaged[0]}")
    all_of_it = seen.cut.shards if seen.cut else None
    if not seen.done or (all_of_it is not None and len(seen.done) < all_of_it):
        known = "" if all_of_it is None else f" of {all_of_it:,}"
        raise ValueError(_incomplete(run, f"{stage} has {len(seen.done):,}{known} shards"))


def _incomplete(run: Run, what: str) -> str:
    return (
        f"run {run.name} is not complete: {what}. Give its own command again, which goes on from there "
        f"(`clipneuron status` shows how far it is), then compare"
    )
