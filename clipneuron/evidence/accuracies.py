"""How often the zero-shot classifier is right with effects replaced, and how sure one may be of every difference.

The tables `predictions` are reduced to one vector of right and wrong per ablation; everything else is a mean of such
vectors or of their differences on the same pictures. Intervals are 95 % bootstrap intervals over pictures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.reports.estimates import Estimate
from clipneuron.store.store import Run
from clipneuron.tables.ablations import NONE, Ablation

COLUMNS = ("index", "image", "label", "status", "reason", "layer", "head", "ablation", "prediction")
FIGURES = ("accuracy", "accuracy_low", "accuracy_high", "drop", "drop_low", "drop_high")
ROW = ("ablation", "layer", "head", "pictures", *FIGURES)
DRAWS = 1000


class FailedPicture(NamedTuple):
    """A picture of the evaluation that the classifier never saw."""

    image: str
    reason: str


@dataclass(frozen=True)
class Outcomes:
    """Which pictures of an ablation were classified rightly, in the order of their numbers."""

    index: NDArray[np.int64]
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class Accuracies:
    """All ablations of some stages.

    baselines: per ablation the undisturbed outcomes of its own stage, so that drops are paired within one stage.
    disagreements: pictures whose undisturbed outcome differs between stages, which rounding alone should explain.
    """

    outcomes: Mapping[Ablation, Outcomes]
    baselines: Mapping[Ablation, Outcomes]
    failed: Mapping[int, FailedPicture]
    unlabelled: int
    disagreements: int

    @classmethod
    def of(cls, run: Run, stages: Sequence[str]) -> "Accuracies":
        """Read the table `predictions` of these stages; those that have committed nothing are left out."""
        outcomes: dict[Ablation, Outcomes] = {}
        baselines: dict[Ablation, Outcomes] = {}
        failed: dict[int, FailedPicture] = {}
        unlabelled: set[int] = set()
        undisturbed = []
        for stage in (name for name in stages if run.done(name)):
            read = _Reading.of(run, stage)
            failed |= read.failed
            unlabelled |= read.unlabelled
            if NONE in read.outcomes:
                undisturbed.append(read.outcomes[NONE])
                baselines |= dict.fromkeys(read.outcomes, read.outcomes[NONE])
            outcomes = read.outcomes | outcomes
        pairs = (_on_same_pictures(undisturbed[0], other) for other in undisturbed[1:])
        differing = sum(int((first != other).sum()) for first, other in pairs)
        return cls(outcomes, baselines, failed, len(unlabelled), differing)

    @property
    def pictures(self) -> int:
        """Labelled pictures that the undisturbed accuracy is taken over."""
        return len(self.outcomes[NONE].index) if NONE in self.outcomes else 0

    def layers(self, name: str) -> list[int]:
        """The layers that have an ablation of this name, rising."""
        return sorted({key.layer for key in self.outcomes if key.name == name})

    def texts(self, layer: int) -> dict[str, dict[int, Ablation]]:
        """The text reconstructions of a layer: pool -> number of texts, rising -> ablation."""
        found: dict[str, dict[int, Ablation]] = {}
        for key in self.outcomes:
            if key.texts and key.layer == layer:
                pool, size = key.texts
                found.setdefault(pool, {})[size] = key
        return {pool: dict(sorted(found[pool].items())) for pool in sorted(found)}

    def accuracy(self, ablation: Ablation) -> Estimate | None:
        """Accuracy with the ablation, None where it was not computed."""
        found = self.outcomes.get(ablation)
        return _mean(found.right.astype(np.int8)) if found else None

    def drop(self, ablation: Ablation) -> Estimate | None:
        """What the ablation costs, on the pictures that both accuracies know; None where one is not known."""
        return self.gap(NONE, ablation)

    def gap(self, better: Ablation, worse: Ablation) -> Estimate | None:
        """Accuracy with the first less that with the second, on the same pictures; None as in `drop`."""
        differences = self._differences(better, worse)
        return None if differences is None else _mean(differences[1])

    def ratio(
        self, part: tuple[Ablation, Ablation], whole: tuple[Ablation, Ablation]
    ) -> Estimate | None:
        """One gap as a share of another, both resampled together; None as in `drop`, or where the whole is zero."""
        upper, lower = self._differences(*part), self._differences(*whole)
        if upper is None or lower is None:
            return None
        _, first, second = np.intersect1d(upper[0], lower[0], return_indices=True)
        return _ratio(upper[1][first], lower[1][second]) if len(first) else None

    def _differences(
        self, better: Ablation, worse: Ablation
    ) -> tuple[NDArray[np.int64], NDArray[np.int8]] | None:
        """Pictures with their right less wrong outcomes."""
        known = self.baselines if better == NONE else self.outcomes
        first, second = known.get(worse if better == NONE else better), self.outcomes.get(worse)
        if first is None or second is None:
            return None
        index = np.intersect1d(first.index, second.index)
        upper, lower = _on_same_pictures(first, second)
        return (index, upper.astype(np.int8) - lower.astype(np.int8)) if len(index) else None

    def table(self) -> pa.Table:
        """A row per ablation: layer, head, ablation, pictures, accuracy and drop with the ends of their intervals."""
        rows = [row for key in sorted(self.outcomes) for row in self._row(key)]
        return pa.table({name: [row[n] for row in rows] for n, name in enumerate(ROW)})

    def _row(self, key: Ablation) -> Iterator[tuple[object, ...]]:
        drop = self.drop(key) or (None,) * 3
        yield (*key, len(self.outcomes[key].index), *(self.accuracy(key) or ()), *drop)


@dataclass(frozen=True)
class _Reading:
    """What one stage's predictions say."""

    outcomes: dict[Ablation, Outcomes]
    failed: dict[int, FailedPicture]
    unlabelled: set[int]

    @classmethod
    def of(cls, run: Run, stage: str) -> "_Reading":
        failed: dict[int, FailedPicture] = {}
        unlabelled: set[int] = set()
        kept = []
        for _, table in run.scan(stage, "predictions", columns=COLUMNS):
            troubled = table.filter(pc.field("status") != "ok")
            columns = (troubled[name].to_pylist() for name in ("index", "image", "reason"))
            for index, image, reason in zip(*columns, strict=True):
                failed[index] = FailedPicture(image, reason or "")
            fine = table.filter(pc.field("status") == "ok")
            nameless = fine.filter(pc.field("label").is_null())
            unlabelled |= set(pc.unique(nameless["index"]).to_pylist())
            kept.append(_judged(fine.filter(pc.field("label").is_valid())))
        return cls(_grouped(pa.concat_tables(kept)), failed, unlabelled)


def _judged(table: pa.Table) -> pa.Table:
    """What is needed of rows with a label: strings as numbers, right or wrong instead of the classes."""
    right = pc.fill_null(pc.equal(table["prediction"], table["label"]), False)
    columns = {name: table[name] for name in ("index", "layer", "head")}
    return pa.table({**columns, "name": table["ablation"].dictionary_encode(), "right": right})


def _grouped(table: pa.Table) -> dict[Ablation, Outcomes]:
    """The rows cut into ablations by one sort, so that no row is a Python object."""
    if not table.num_rows:
        return {}
    names = table["name"].unify_dictionaries().combine_chunks()
    index, layer, head, right = (table[n].to_numpy() for n in ("index", "layer", "head", "right"))
    code = names.indices.to_numpy()
    order = np.lexsort((index, head, layer, code))
    keys = np.stack([code, layer, head], axis=1)[order]
    starts = np.flatnonzero(np.any(np.diff(keys, axis=0) != 0, axis=1)) + 1
    words = names.dictionary.to_pylist()
    return {
        Ablation(words[keys[place, 0]], int(keys[place, 1]), int(keys[place, 2])): Outcomes(
            index[rows], right[rows].astype(np.bool_)
        )
        for place, rows in zip([0, *starts], np.split(order, starts), strict=True)
    }


def _on_same_pictures(
    first: Outcomes, second: Outcomes
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    _, ours, theirs = np.intersect1d(first.index, second.index, return_indices=True)
    return first.right[ours], second.right[theirs]


def _mean(values: NDArray[np.int8]) -> Estimate | None:
    return _ratio(values, np.ones_like(values))


def _ratio(part: NDArray[np.int8], whole: NDArray[np.int8]) -> Estimate | None:
    """sum of part / sum of whole, each value -1, 0 or 1, with its percentile bootstrap interval; None if whole is 0.

    There are but nine pairs of values, so resampling the pictures is drawing how many of them have each pair: the same
    bootstrap as `clipneuron.lens.scores.metrics.bootstrap_interval`, at a cost that does not grow with the pictures.
    """
    pairs = np.array([(p, w) for p in (-1, 0, 1) for w in (-1, 0, 1)])
    counts = np.bincount((part + 1) * 3 + whole + 1, minlength=9)
    upper, lower = counts @ pairs
    if lower == 0:
        return None
    drawn = np.random.default_rng(0).multinomial(len(part), counts / len(part), DRAWS) @ pairs
    drawn = drawn[drawn[:, 1] != 0]
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    return Estimate(float(upper / lower), float(low), float(high))
