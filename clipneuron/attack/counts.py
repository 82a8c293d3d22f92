"""How often the model fell for pictures: counts per repetition, and what reviewers and the screening make of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.attack.review import decisions as reviews
from clipneuron.attack.review.deck import ReviewKeys
from clipneuron.store.run import Run
from clipneuron.tables.experiments import METHODS

Measure = Literal["raw", "reviewed", "screened"]
"""raw: pictures that fool the model; reviewed: those that reviewers keep; screened: that the screening would keep."""
OURS, PAPERS, *BASELINES = METHODS
"""Words of neurons, the same as the paper takes them (from long descriptions), and what both are held against."""

_KEY = ["pair", "method", "repeat"]


class Counts(NamedTuple):
    """One repetition of a pair and a method, in pictures; those from `fooled` on are parts of it.

    removed and kept: by all who decided. disputed: by some. unreviewed: nobody has decided.
    suggested: the screening sees c1 and no c2. unknown: the screening cannot say, or has not looked.
    """

    pair: str
    method: str
    repeat: int
    failed: int
    judged: int
    fooled: int
    kept: int
    removed: int
    disputed: int
    unreviewed: int
    suggested: int
    unknown: int


class Rate(NamedTuple):
    """Mean and standard deviation over repetitions of shares of the judged pictures.

    The deviation is that of the repetitions themselves (divided by their number), as in the paper: its 0.3 +- 0.5 of
    whole pictures can only be (0, 0, 1), whose deviation is 0.47 so and 0.58 otherwise.
    """

    mean: float
    deviation: float


PAPER: Mapping[str, Mapping[str, Rate]] = {
    "horse:automobile": {
        "random": Rate(0.010, 0.014),
        "indirect": Rate(0.028, 0.037),
        "similar": Rate(0.010, 0.014),
        PAPERS: Rate(0.053, 0.019),
    },
    "dog:deer": {
        "random": Rate(0.003, 0.005),
        "indirect": Rate(0.063, 0.048),
        "similar": Rate(0.033, 0.009),
        PAPERS: Rate(0.227, 0.005),
    },
    "bird:frog": {
        "random": Rate(0.003, 0.005),
        "indirect": Rate(0.010, 0.014),
        "similar": Rate(0.050, 0.029),
        PAPERS: Rate(0.080, 0.045),
    },
    "ship:truck": {
        "random": Rate(0.000, 0.000),
        "indirect": Rate(0.000, 0.000),
        "similar": Rate(0.000, 0.000),
        PAPERS: Rate(0.057, 0.009),
    },
    "ship:automobile": {
        "random": Rate(0.013, 0.019),
        "indirect": Rate(0.000, 0.000),
        "similar": Rate(0.013, 0.009),
        PAPERS: Rate(0.070, 0.045),
    },
}
"""The paper's Table 3, for OpenAI's ViT-B-32 after review: shares of 100 pictures, 3 repetitions."""
_OF: Mapping[Measure, Callable[[Counts], int]] = {
    "raw": lambda counts: counts.fooled,
    "reviewed": lambda counts: counts.kept,
    "screened": lambda counts: counts.suggested,
}


@dataclass(frozen=True)
class Cell:
    """A pair and a method: its repetitions, in order."""

    pair: str
    method: str
    repeats: tuple[Counts, ...]

    def total(self, name: str) -> int:
        """One of the counts, summed over the repetitions."""
        return sum(int(getattr(counts, name)) for counts in self.repeats)

    def rate(self, measure: Measure) -> Rate | None:
        """None where no repetition has a judged picture; one without is left out.

        Only pictures that are known to count are counted, so with unreviewed, disputed or unknown ones the rate is the
        least that it can become.
        """
        of = _OF[measure]
        shares = [of(counts) / counts.judged for counts in self.repeats if counts.judged]
        return Rate(float(np.mean(shares)), float(np.std(shares))) if shares else None


def cells(run: Run, keys: ReviewKeys) -> list[Cell]:
    """What the verdicts say, with the decisions of all reviewers; by pair, method and repetition.

    The screening need not have committed anything. Raises StoreError for tables that cannot be read.
    """
    rows = run.read(keys.verdicts, "verdicts", columns=["picture", *_KEY, "fooled", "status"])
    reviewed = reviews.merged(reviews.decisions(run, keys.pictures))
    seen = None
    if keys.screening and run.done(keys.screening):
        seen = run.read(keys.screening, "screening", columns=["picture", "shows_c1", "shows_c2"])
    found: dict[tuple[str, str], list[Counts]] = {}
    for counts in count(rows, reviewed, seen):
        found.setdefault((counts.pair, counts.method), []).append(counts)
    return [Cell(*key, tuple(repeats)) for key, repeats in found.items()]


def count(
    verdicts: pa.Table, reviewed: Mapping[str, str], screening: pa.Table | None = None
) -> list[Counts]:
    """The counts of every repetition, sorted; `reviewed` is what `clipneuron.attack.review.decisions.merged` gives."""
    verdicts = _with_screening(_with_review(verdicts, reviewed), screening)
    judged = pc.equal(verdicts["status"], "ok")
    fooled = pc.and_(judged, pc.fill_null(verdicts["fooled"], False))
    bad = pc.or_kleene(verdicts["shows_c2"], pc.invert(verdicts["shows_c1"]))
    parts = {
        "failed": pc.invert(judged),
        "judged": judged,
        "fooled": fooled,
        **{
            word: pc.and_(fooled, pc.equal(verdicts["review"], word))
            for word in ("kept", "removed", "disputed", "unreviewed")
        },
        "suggested": pc.and_(fooled, pc.fill_null(pc.invert(bad), False)),
        "unknown": pc.and_(fooled, pc.is_null(bad)),
    }
    keys = {name: verdicts[name] for name in _KEY}
    table = pa.table(keys | {name: part.cast(pa.int64()) for name, part in parts.items()})
    sums = table.group_by(_KEY).aggregate([(name, "sum") for name in parts])
    sums = sums.sort_by([(name, "ascending") for name in _KEY])
    columns = [sums[name].to_pylist() for name in (*_KEY, *(f"{part}_sum" for part in parts))]
    return [Counts(*row) for row in zip(*columns, strict=True)]


def _with_review(verdicts: pa.Table, reviewed: Mapping[str, str]) -> pa.Table:
    words = pa.array(list(reviewed.values()), pa.string())
    found = words.take(_places(verdicts, pa.array(list(reviewed), pa.string())))
    return verdicts.append_column("review", pc.fill_null(found, "unreviewed"))


def _with_screening(verdicts: pa.Table, screening: pa.Table | None) -> pa.Table:
    for name in ("shows_c1", "shows_c2"):
        if screening is None:
            seen = pa.nulls(verdicts.num_rows, pa.bool_())
        else:
            seen = screening[name].take(_places(verdicts, screening["picture"]))
        verdicts = verdicts.append_column(name, seen)
    return verdicts


def _places(verdicts: pa.Table, pictures: Sequence[str]) -> pa.Array:
    """Where each judged picture is among these, null where it is not."""
    return pc.index_in(verdicts["picture"], value_set=pictures).combine_chunks()
