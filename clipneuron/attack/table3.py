"""Table 3: how many of 100 pictures fool the model, for each pair and way to find the words, beside the paper's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clipneuron.attack.counts import (
    BASELINES,
    OURS,
    PAPER,
    PAPERS,
    Cell,
    Counts,
    Measure,
    Rate,
    cells,
)
from clipneuron.attack.review.deck import ReviewKeys
from clipneuron.reports import markup
from clipneuron.reports.estimates import Estimate, estimate
from clipneuron.reports.quantities import counted
from clipneuron.reports.verdicts import Judgement, above_zero, weakest
from clipneuron.store.run import Run

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (*BASELINES, PAPERS, OURS)
"""In the order of the paper's columns, and ours after them."""
MEASURES: Mapping[Measure, str] = {
    "raw": "as classified",
    "reviewed": "after review",
    "screened": "by the automatic screening (a suggestion)",
}
ENOUGH_PAIRS = 5
"""Fewer pairs, of which the paper has this many, are not resampled: their interval would be too narrow."""


@dataclass(frozen=True)
class Comparison:
    """Second order less a baseline or the paper's own method, averaged over the pairs that have both.

    The interval is a 95 % bootstrap over pairs, and the mean itself at both ends where there are too few.
    """

    measure: Measure
    baseline: str
    pairs: int
    ours: float
    theirs: float
    difference: Estimate
    judgement: Judgement


@dataclass(frozen=True)
class Table3:
    """What a run says of Table 3; `comparable` where its model is the paper's, OpenAI's ViT-B-32."""

    cells: Sequence[Cell]
    comparable: bool

    @classmethod
    def of(cls, run: Run, keys: ReviewKeys, *, comparable: bool = False) -> "Table3":
        """Read the tables of these stages and all decisions on their pictures; raises StoreError."""
        return cls(cells(run, keys), comparable)

    @property
    def pairs(self) -> list[str]:
        """The pairs: those of the paper in its order, then the others."""
        found = {cell.pair for cell in self.cells}
        return [pair for pair in PAPER if pair in found] + sorted(found - PAPER.keys())

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of the paper's columns."""
        found = {cell.method for cell in self.cells}
        return [name for name in COLUMNS if name in found] + sorted(found - {*COLUMNS})

    @property
    def measures(self) -> list[Measure]:
        """Those that the run has data for: a review that somebody began, a screening that could say something."""
        known: list[Measure] = ["raw"]
        if any(self.total(name) for name in ("kept", "removed", "disputed")):
            known.append("reviewed")
        if self.total("unknown") < self.total("fooled"):
            known.append("screened")
        return known

    def total(self, name: str) -> int:
        """One of the counts, summed over everything."""
        return sum(cell.total(name) for cell in self.cells)

    def rate(self, pair: str, method: str, measure: Measure = "raw") -> Rate | None:
        """Mean and deviation over repetitions; None where nothing was judged."""
        cell = self._by_key.get((pair, method))
        return cell.rate(measure) if cell else None

    def mean(self, method: str, measure: Measure = "raw") -> float | None:
        """The mean over the pairs that have this method; None where none has."""
        rates = [self.rate(pair, method, measure) for pair in self.pairs]
        known = [rate.mean for rate in rates if rate]
        return float(np.mean(known)) if known else None

    def open_questions(self, measure: Measure) -> str:
        """Why the measure is not final, in words; empty where it is."""
        names = {"raw": (), "reviewed": ("unreviewed", "disputed"), "screened": ("unknown",)}
        left = [f"{n} {name}" for name in names[measure] if (n := self.total(name))]
        of = f" of {self.total('fooled')} fooling pictures" if left else ""
        return " and ".join(left) + of

    def comparisons(self, measure: Measure) -> list[Comparison]:
        """Second order against each other method, by pairs that have both."""
        others = [method for method in self.methods if method != OURS]
        return [found for method in others if (found := self._comparison(measure, method))]

    def verdict(self, measure: Measure) -> Judgement:
        """Whether second order beats every baseline on average over the pairs."""
        found = [each for each in self.comparisons(measure) if each.baseline in BASELINES]
        if not found:
            return Judgement("not computed", "no pair has second order and a baseline")
        if unsettled := self.open_questions(measure):
            return Judgement("cannot be judged", f"not finished: {unsettled}")
        return weakest([comparison.judgement for comparison in found])

    def tables(self) -> "list[Table]":
        """For a terminal: rates by measure, and second order against the baselines."""
        return [*(self._rates_table(measure) for measure in self.measures), self._against_table()]

    def markdown(self) -> str:
        """The page `table3.md`."""
        return markup.page(
            "attack/table3.md.jinja",
            found=self,
            headings=("pair", *self.methods),
            measures=[
                (_title(measure), list(self._rows(measure)), self._caption(measure))
                for measure in self.measures
            ],
            comparison=_AGAINST,
            against=self._against(),
            counts=("pair", "method", *_COUNTED),
            counted=self._counted(),
        )

    def files(self) -> dict[str, bytes]:
        """Name -> content; the same bytes for the same tables and decisions."""
        return {
            "table3.md": self.markdown().encode(),
            "table3.csv": markup.csv(_RATES, self._rate_rows()),
            "table3-repeats.csv": markup.csv(
                Counts._fields, (counts for cell in self.cells for counts in cell.repeats)
            ),
        }

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Cell]:
        return {(cell.pair, cell.method): cell for cell in self.cells}

    def _comparison(self, measure: Measure, baseline: str) -> Comparison | None:
        both = [(self.rate(p, OURS, measure), self.rate(p, baseline, measure)) for p in self.pairs]
        known = [(ours.mean, theirs.mean) for ours, theirs in both if ours and theirs]
        if not known:
            return None
        differences = np.array([ours - theirs for ours, theirs in known])
        difference, judgement = _judged(differences, f"second order less {baseline}")
        ours, theirs = (float(np.mean([pair[n] for pair in known])) for n in range(2))
        return Comparison(measure, baseline, len(known), ours, theirs, difference, judgement)

    def _paper(self, pair: str, method: str) -> Rate | None:
        return PAPER.get(pair, {}).get(method) if self.comparable else None

    def _rows(self, measure: Measure) -> Iterator[list[str]]:
        """Pairs down, methods across, as in the paper; its own numbers in brackets."""
        for pair in self.pairs:
            found = [
                (self.rate(pair, method, measure), self._paper(pair, method))
                for method in self.methods
            ]
            yield [_arrow(pair), *(_shown(ours, paper) for ours, paper in found)]
        means = (self.mean(method, measure) for method in self.methods)
        yield [f"mean of {len(self.pairs)}", *("-" if m is None else _hundred(m) for m in means)]

    def _rates_table(self, measure: Measure) -> "Table":
        headings, rows = ("pair", *self.methods), list(self._rows(measure))
        return markup.terminal(
            _title(measure),
            headings,
            rows,
            right=self.methods,
            sections={len(rows) - 1},
            caption=self._caption(measure),
        )

    def _against_table(self) -> "Table":
        title = "Second order against the baselines"
        spare = ("baseline's", OURS, "pairs")
        return markup.terminal(title, _AGAINST, self._against(), spare=spare)

    def _against(self) -> Iterator[list[str]]:
        for measure in self.measures:
            for found in self.comparisons(measure):
                names = [MEASURES[measure], found.baseline, str(found.pairs)]
                figures = [_hundred(found.ours), _hundred(found.theirs), _points(found)]
                yield [*names, *figures, found.judgement.verdict]

    def _caption(self, measure: Measure) -> str:
        verdict = self.verdict(measure)
        claim = f"Second order beats every baseline: {verdict.verdict} ({verdict.why})."
        paper = " In brackets: the paper's, after its own review." if self._beside_paper else ""
        unsettled = self.open_questions(measure)
        least = f" At least so many: {unsettled}." if unsettled else ""
        return claim + least + paper

    @property
    def _beside_paper(self) -> bool:
        return self.comparable and any(pair in PAPER for pair in self.pairs)

    def _counted(self) -> Iterator[list[str]]:
        for cell in self._in_order():
            counts = (f"{cell.total(name):,}" for name in _COUNTED[1:])
            yield [_arrow(cell.pair), cell.method, str(len(cell.repeats)), *counts]

    def _in_order(self) -> Iterator[Cell]:
        keys = ((pair, method) for pair in self.pairs for method in self.methods)
        return (self._by_key[key] for key in keys if key in self._by_key)

    def _rate_rows(self) -> Iterator[list[object]]:
        for cell in self._in_order():
            for measure in self.measures:
                rate = cell.rate(measure) or (None, None)
                paper = self._paper(cell.pair, cell.method) or (None, None)
                totals = (cell.total(name) for name in _COUNTED[1:])
                names = [cell.pair, cell.method, measure]
                yield [*names, len(cell.repeats), *rate, *paper, *totals]


_AGAINST = ("measure", "baseline", "pairs", OURS, "baseline's", "difference", "verdict")
_COUNTED = ("repeats", *Counts._fields[3:])
_RATES = (
    *("pair", "method", "measure", "repeats", "mean", "deviation"),
    *("paper_mean", "paper_deviation", *_COUNTED[1:]),
)


def _title(measure: Measure) -> str:
    return f"Fooled of 100, {MEASURES[measure]}"


def _judged(
    differences: "np.ndarray[tuple[int], np.dtype[np.float64]]", name: str
) -> tuple[Estimate, Judgement]:
    if len(differences) < ENOUGH_PAIRS:
        mean = float(differences.mean())
        pairs = counted(len(differences), "pairs")
        why = f"{name} {mean * 100:+.1f} points over {pairs}, of which {ENOUGH_PAIRS} are needed"
        return Estimate(mean, mean, mean), Judgement("cannot be judged", why)
    found = estimate(differences)
    return found, above_zero(found, name)


def _points(found: Comparison) -> str:
    value, low, high = (f"{figure * 100:+.1f}" for figure in found.difference)
    return value if found.pairs < ENOUGH_PAIRS else f"{value} ({low} to {high})"


def _shown(ours: Rate | None, paper: Rate | None) -> str:
    rate = f"{_hundred(ours.mean)} ± {_hundred(ours.deviation)}" if ours else "-"
    return f"{rate} [{_hundred(paper.mean)} ± {_hundred(paper.deviation)}]" if paper else rate


def _hundred(share: float) -> str:
    return f"{share * 100:.1f}"


def _arrow(pair: str) -> str:
    return pair.replace(":", " → ")
