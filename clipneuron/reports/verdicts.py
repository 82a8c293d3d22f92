"""What a claim of the paper comes to: figures side by side, and a verdict under a criterion that is written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from clipneuron.reports.estimates import Estimate

Verdict = Literal["holds", "holds in part", "does not hold", "cannot be judged", "not computed"]
VERDICTS: tuple[Verdict, ...] = (
    "holds",
    "holds in part",
    "does not hold",
    "cannot be judged",
    "not computed",
)


class Figure(NamedTuple):
    """One of the numbers that a claim rests on; shares, not per cent. `paper` is None where it gives no number."""

    name: str
    ours: Estimate | None
    paper: float | None = None


class Judgement(NamedTuple):
    """A verdict and the reason for it, in words."""

    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Claim:
    """One claim of the paper and what this run says of it.

    criterion: when the claim holds, holds in part or does not, so that a reader can disagree.
    paper_says, ours_says: findings that are no shares, in words.
    comparable: whether differences to the paper's numbers mean anything: only for the same model.
    """

    where: str
    statement: str
    criterion: str
    figures: tuple[Figure, ...]
    judgement: Judgement
    setting: str
    comparable: bool
    paper_says: str = ""
    ours_says: str = ""

    @property
    def verdict(self) -> Verdict:
        """One of the five verdicts."""
        return self.judgement.verdict

    @property
    def paper(self) -> str:
        """The paper's numbers."""
        numbers = [f"{f.name}: {percent(f.paper)}" for f in self.figures if f.paper is not None]
        return "; ".join([*filter(None, [self.paper_says]), *numbers]) or "no number"

    @property
    def ours(self) -> str:
        """Our numbers with their intervals."""
        known = [f"{f.name}: {with_interval(f.ours)}" for f in self.figures if f.ours]
        return "; ".join([*filter(None, [self.ours_says]), *known]) or "not computed"

    @property
    def difference(self) -> str:
        """Ours less the paper's in points, or why there is no such thing."""
        pairs = [(f.ours, f.paper) for f in self.figures if f.ours and f.paper is not None]
        if not pairs:
            return "-"
        if not self.comparable:
            return "another model"
        return "; ".join(f"{(ours.value - paper) * 100:+.1f} points" for ours, paper in pairs)

    def as_json(self) -> dict[str, object]:
        """The claim as plain data."""
        return {
            "where": self.where,
            "statement": self.statement,
            "criterion": self.criterion,
            "figures": [
                {"name": f.name, "ours": f.ours and f.ours._asdict(), "paper": f.paper}
                for f in self.figures
            ],
            "paper": self.paper,
            "ours": self.ours,
            "paper_says": self.paper_says,
            "ours_says": self.ours_says,
            "difference": self.difference,
            "verdict": self.verdict,
            "why": self.judgement.why,
            "setting": self.setting,
        }


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{share * 100:.1f} %"


def limit(share: float) -> str:
    """A limit of ours in per cent, with no more figures than it has."""
    return f"{share * 100:.3g} %"


def with_interval(figure: Estimate) -> str:
    """A share in per cent with its interval.

    >>> with_interval(Estimate(0.5, 0.4, 0.625))
    '50.0 % (40.0 to 62.5)'
    """
    return f"{percent(figure.value)} ({figure.low * 100:.1f} to {figure.high * 100:.1f})"


def missing(what: str) -> Judgement:
    """The verdict on what was not computed."""
    return Judgement("not computed", f"the run has no {what}")


def at_most(figure: Estimate, holds: float, part: float, name: str) -> Judgement:
    """Small enough to hold, to hold in part, or not at all; no verdict where the interval reaches over both limits."""
    if figure.low <= holds and figure.high > part:
        return _too_wide(figure, holds, part, name)
    return _graded(figure.value <= holds, figure.value <= part, f"{name} {percent(figure.value)}")


def at_least(figure: Estimate, holds: float, part: float, name: str) -> Judgement:
    """Large enough to hold, to hold in part, or not at all; no verdict where the interval reaches over both limits."""
    if figure.high >= holds and figure.low < part:
        return _too_wide(figure, part, holds, name)
    return _graded(figure.value >= holds, figure.value >= part, f"{name} {percent(figure.value)}")


def above_zero(figure: Estimate, name: str) -> Judgement:
    """Holds for a figure clearly above zero, not for one clearly below; no verdict around zero."""
    if not figure.clear:
        why = f"{name} {with_interval(figure)} is within its interval of zero"
        return Judgement("cannot be judged", why)
    return Judgement(
        "holds" if figure.value > 0 else "does not hold", f"{name} {percent(figure.value)}"
    )


def not_above_zero(figure: Estimate, name: str) -> Judgement:
    """The verdict where everything rests on a drop that may as well be none."""
    why = f"{name} {with_interval(figure)} is not clearly above zero"
    return Judgement("cannot be judged", why)


def weakest(judgements: Sequence[Judgement]) -> Judgement:
    """The worst of the verdicts, with all reasons."""
    worst = max(judgements, key=lambda judgement: VERDICTS.index(judgement.verdict))
    return Judgement(worst.verdict, "; ".join(judgement.why for judgement in judgements))


def _graded(holds: bool, part: bool, why: str) -> Judgement:
    return Judgement("holds" if holds else "holds in part" if part else "does not hold", why)


def _too_wide(figure: Estimate, low: float, high: float, name: str) -> Judgement:
    why = f"{name} {with_interval(figure)}: the interval reaches over both limits, {limit(low)} and {limit(high)}"
    return Judgement("cannot be judged", why)
