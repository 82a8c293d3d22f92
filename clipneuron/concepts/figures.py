"""The tables of concepts read back, and what they come to: a row per method, and the concepts that are found most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.concepts.results import ConceptResults
from clipneuron.reports.estimates import Estimate, estimate
from clipneuron.store.store import Run

METRICS = ("precision", "mean_rank")


@dataclass(frozen=True)
class MethodRow:
    """A method's means over pictures of which something is true, and its paired differences to the first method."""

    method: str
    precision: Estimate
    mean_rank: Estimate
    over: dict[str, Estimate]
    """By metric; empty for the first method itself."""


@dataclass(frozen=True)
class Limits:
    """What a perfect and a random ranking would have."""

    pictures: int
    """Of which something is true."""
    untold: int
    """Usable pictures of which nothing is."""
    present: float
    """Texts that are true of a picture, on average."""
    bound: float
    best_rank: float
    chance: float
    chance_rank: float


@dataclass(frozen=True)
class Common:
    """A concept that is found in many pictures."""

    concept: str
    pictures: int
    strongest: tuple[str, ...]
    """Ids of the pictures with the highest scores."""


@dataclass(frozen=True)
class Judged:
    """The scores of all methods."""

    by: str
    """The witness."""
    rows: Sequence[MethodRow]
    limits: Limits


def judged(run: Run, stage: str, texts: int) -> Judged | None:
    """The means of the table `concept_scores` over a pool of so many texts; None where nothing is true."""
    table = run.read(stage, "concept_scores")
    good = table.filter(pc.equal(table["status"], "ok"))
    methods = pc.unique(good["method"]).to_pylist()
    of = {
        method: good.filter(pc.equal(good["method"], method)).sort_by("index") for method in methods
    }
    if not methods or not (some := _values(of[methods[0]]["present"]) > 0).any():
        return None
    columns = {
        method: {metric: _values(rows[metric])[some] for metric in METRICS}
        for method, rows in of.items()
    }
    first, rows = columns[methods[0]], []
    for method, own in columns.items():
        over = {} if method == methods[0] else {m: estimate(own[m] - first[m]) for m in METRICS}
        rows.append(MethodRow(method, estimate(own["precision"]), estimate(own["mean_rank"]), over))
    present = _values(of[methods[0]]["present"])[some]
    bound = _values(of[methods[0]]["bound"])[some]
    limits = Limits(
        pictures=int(some.sum()),
        untold=int((~some).sum()),
        present=float(present.mean()),
        bound=float(bound.mean()),
        best_rank=float((present + 1).mean() / 2),
        chance=float(present.mean() / texts),
        chance_rank=(texts + 1) / 2,
    )
    return Judged(str(good["by"][0].as_py()), rows, limits)


def common(run: Run, results: ConceptResults, method: str, count: int) -> list[Common]:
    """The concepts that a method finds in most pictures."""
    rows = run.read(results.index, "concept_pictures", filters=[("method", "==", method)])
    counts = pc.value_counts(rows["concept"]).to_pylist()
    most = sorted(counts, key=lambda item: (-item["counts"], item["values"]))[:count]
    found = []
    for item in most:
        own = rows.filter(pc.equal(rows["concept"], item["values"])).slice(0, 3)
        found.append(Common(item["values"], item["counts"], tuple(own["image"].to_pylist())))
    return found


def _values(column: object) -> NDArray[np.float64]:
    """A column as numbers, NaN for null."""
    found: NDArray[np.float64] = column.to_numpy().astype(np.float64)  # type: ignore[attr-defined]
    return found
