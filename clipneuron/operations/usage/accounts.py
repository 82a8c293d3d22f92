"""What a run took, stage by stage, from its commits alone: neither a cluster nor a model is asked.

Each commit says for how long which cores and GPUs were held by the processes that loaded, computed and wrote its shard,
and for how many of these core-seconds a core worked. What is not in it: attempts that failed or came second, processes
that waited for work, the driver, and nodes that stood idle; a bill contains them all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from clipneuron.operations.usage.forecasts import Foretold, recorded
from clipneuron.store import outlines
from clipneuron.store.errors import DamagedError
from clipneuron.store.records import Commit, Usage
from clipneuron.store.store import Run

_PER_COMMIT = 2
"""Requests that write, besides one for each object: the record that an attempt began, and the marker.

So many are assumed of commits of versions that did not count.
"""


@dataclass(frozen=True)
class Amounts:
    """What stages took; sums over their commits."""

    shards: int = 0
    rows: int = 0
    load: float = 0.0
    process: float = 0.0
    write: float = 0.0
    core_seconds: float = 0.0
    gpu_seconds: float = 0.0
    cpu_seconds: float = 0.0
    size: int = 0
    writes: int = 0
    """Requests that wrote: objects, markers and records of attempts; failed attempts and manifests come on top."""
    reads: int = 0
    """Requests that read, looked at or listed something."""
    bytes_read: int = 0
    """Of pictures and of tables."""
    cached: int = 0
    """Pictures whose decoded pixels were found in a cache."""
    unmeasured: int = 0
    """Commits of versions that did not measure: the bytes that they wrote count, their time does not."""
    uncounted: int = 0
    """Commits of versions that did not count what they read: it is missing from `reads` and `bytes_read`."""

    def __add__(self, other: "Amounts") -> "Amounts":
        names = [field.name for field in fields(Amounts)]
        return Amounts(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def is_counted(self) -> bool:
        """Whether what was read is known of any commit."""
        return self.uncounted < self.shards

    @property
    def utilisation(self) -> float | None:
        """The share of the core-seconds in which a core worked; None where none were held."""
        return self.cpu_seconds / self.core_seconds if self.core_seconds else None


@dataclass(frozen=True)
class StageUsage:
    """What one stage took."""

    name: str
    kind: str
    unit: str
    """What rows are, such as images."""
    amounts: Amounts
    foretold: Foretold | None = None


@dataclass(frozen=True)
class RunUsage:
    """What a run took."""

    name: str
    stages: tuple[StageUsage, ...]
    damaged: tuple[str, ...] = ()
    """Markers that could not be read, whose shards are left out."""

    @property
    def total(self) -> Amounts:
        """Of all stages; its rows are of several kinds and mean nothing."""
        return sum((stage.amounts for stage in self.stages), Amounts())

    @property
    def pictures(self) -> int:
        """The run's pictures: those that were swept, or else the most that any stage has worked on."""
        stages = [stage for stage in self.stages if stage.unit == "images"]
        swept = [stage for stage in stages if stage.kind == "effects"]
        return max((stage.amounts.rows for stage in swept or stages), default=0)


def usage_of(run: Run) -> RunUsage:
    """What the run's commits took; damaged markers are told and left out. Raises StoreError."""
    order, damaged = _order(run)
    kinds, foretold = dict(order), recorded(run)
    names = [*kinds, *(name for name in run.stages() if name not in kinds)]
    stages = []
    for name in names:
        commits, problems = run.look(name)
        damaged += problems
        if commits:
            kind = kinds.get(name, name)
            stages.append(_stage(run, name, kind, commits.values(), foretold.get(kind)))
    return RunUsage(run.name, tuple(stages), tuple(damaged))


def _order(run: Run) -> tuple[Sequence[tuple[str, str]], list[str]]:
    """The stages with their kinds, as last asked for, and what is wrong with the record of that."""
    try:
        order = run.announced()
    except DamagedError as error:
        return [], [str(error)]
    if order is None:
        return [], []
    return list(zip(order.stages, order.kinds or order.stages, strict=True)), []


def _stage(
    run: Run, name: str, kind: str, commits: Iterable[Commit], foretold: Foretold | None
) -> StageUsage:
    try:
        cut = outlines.cut(run.objects, name)
    except DamagedError:
        cut = None
    amounts = sum((_amounts(commit, cut) for commit in commits), Amounts())
    return StageUsage(name, kind, cut.unit if cut else "rows", amounts, foretold)


def _amounts(commit: Commit, cut: outlines.Cut | None) -> Amounts:
    usage = commit.usage or Usage()
    uncounted, cached = usage.writes is None, {"cached": usage.cached or 0}
    assumed = {"writes": len(commit.objects) + _PER_COMMIT, "reads": 0, "bytes_read": 0}
    return Amounts(
        shards=1,
        rows=cut.rows_of([commit.shard]) if cut else 0,
        size=commit.size,
        unmeasured=int(commit.usage is None),
        uncounted=int(uncounted),
        **usage.model_dump() | cached | (assumed if uncounted else {}),
    )
