"""How far a run is, from its store alone: no cluster, no model and no driver is asked."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from clipneuron.reports.quantities import rate
from clipneuron.store import markers, outlines, progress
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.progress import Progress
from clipneuron.store.store import DamagedError, DamagedRun, Run

ALIVE = 1800.0
"""Seconds for which an attempt that has begun counts as being worked on."""

ACTIVITY = 300.0
"""Seconds before a stage's last commit from which its rate is taken."""


@dataclass(frozen=True)
class StageStatus:
    """How far one stage is; shards are done, in flight, in quarantine (no longer tried) or none of these."""

    name: str
    unit: str
    """What rows are, such as images."""
    shards: int | None
    """None while nobody has said what the stage consists of: another has to be complete first."""
    done: int
    in_flight: int
    quarantined: int
    rows: int
    """Rows of the shards that are done."""
    total_rows: int
    failed_rows: int
    unseen: int
    """Commits whose failed rows were not counted."""
    rate: float | None
    """Rows per second over the last minutes of activity, None where too few commits tell."""
    last: float | None
    """Time of the last commit, in seconds since 1970."""
    damaged: tuple[str, ...] = ()
    """What is wrong with its records, and what to do; of those that were read."""
    cached_rows: int = 0
    """Pictures whose decoded pixels were found in a cache."""

    @classmethod
    def of(cls, seen: Progress) -> "StageStatus":
        """The status that a look at the store amounts to."""
        cut, most = seen.cut, seen.cut.attempts if seen.cut else 1
        quarantined = {shard for shard, count in seen.failed_attempts.items() if count >= most}
        return cls(
            name=seen.stage,
            unit=cut.unit if cut else "rows",
            shards=cut.shards if cut else None,
            done=len(seen.done),
            in_flight=len(set(seen.begun) - quarantined),
            quarantined=len(quarantined),
            rows=cut.rows_of(seen.done) if cut else 0,
            total_rows=cut.rows if cut else 0,
            failed_rows=seen.failed_rows,
            unseen=seen.unseen,
            rate=_rate(seen),
            last=max(seen.done.values(), default=None),
            damaged=seen.damaged,
            cached_rows=seen.cached_rows,
        )

    @property
    def complete(self) -> bool:
        """Whether every shard is committed and none is known to be damaged."""
        return self.shards is not None and self.done >= self.shards and not self.damaged

    @property
    def state(self) -> str:
        """One word: damaged, complete, running, stuck (what is left is in quarantine), stopped or waiting."""
        if self.damaged:
            return "damaged"
        if self.complete:
            return "complete"
        if self.in_flight:
            return "running"
        if self.quarantined and self.done + self.quarantined >= (self.shards or 0):
            return "stuck"
        return "stopped" if self.done or self.quarantined else "waiting"

    def remaining(self, now: float) -> float | None:
        """Seconds until the stage is complete at its rate, None where nothing tells or nothing has come lately."""
        if self.complete or not self.rate or self.last is None or now - self.last > ALIVE:
            return None
        return max(0, self.total_rows - self.rows) / self.rate


@dataclass(frozen=True)
class RunStatus:
    """How far a run is, stage by stage in their order."""

    name: str
    stages: tuple[StageStatus, ...]
    known: bool
    """Whether a driver has said which stages there are; none does before the plan is there."""
    problems: tuple[str, ...] = ()
    """What is wrong with the run's own records, and what to do."""

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is committed."""
        return self.known and all(stage.complete for stage in self.stages)

    @property
    def damaged(self) -> tuple[str, ...]:
        """What is wrong with any record that was read, and what to do."""
        return (*self.problems, *(problem for stage in self.stages for problem in stage.damaged))

    @property
    def next(self) -> StageStatus | None:
        """The first stage that is not complete."""
        return next((stage for stage in self.stages if not stage.complete), None)

    @property
    def last(self) -> float | None:
        """Time of the last commit of any stage, in seconds since 1970."""
        return max((stage.last for stage in self.stages if stage.last is not None), default=None)


def status_of(run: Run | DamagedRun, alive: float = ALIVE) -> RunStatus:
    """The status of a run, by listings, manifests and few markers; raises StoreError.

    A damaged record is part of the status, and what it would have told is missing.
    """
    problems = [run.problem] if isinstance(run, DamagedRun) else []
    order, look = None, partial(progress.look, run.objects, within=alive)
    try:
        order = outlines.order(run.objects)
    except DamagedError as error:
        problems.append(str(error))
    committed = set(run.objects.folders(markers.FOLDER))
    names = order.stages if order else ("plan", *sorted(committed - {"plan"}))
    seen = in_order(look, names, concurrency=8)
    stages = tuple(map(StageStatus.of, seen))
    return RunStatus(run.name, stages, order is not None, tuple(problems))


def now() -> float:
    """Seconds since 1970 by this machine's clock, to tell the age of what the store has dated."""
    return time.time()


def _rate(seen: Progress) -> float | None:
    """Rows of the commits that followed the first of the last active minutes, per second since that one."""
    if not seen.cut or not seen.done:
        return None
    lately = _lately(seen.done)
    first = min(lately, key=lambda shard: (lately[shard], shard))
    seconds = max(lately.values()) - lately[first]
    rows = seen.cut.rows_of(lately) - seen.cut.rows_of([first])
    return rate(rows, seconds)


def _lately(done: Mapping[str, float]) -> dict[str, float]:
    since = max(done.values()) - ACTIVITY
    return {shard: time for shard, time in done.items() if time >= since}
