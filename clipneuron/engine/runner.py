"""Runs stages to completion on an executor: what is committed is skipped, attempts are bounded, the rest reported."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clipneuron.engine.attempts import Ending, Executor, WorkerLostError, log_ending
from clipneuron.engine.in_process import InProcess
from clipneuron.engine.meters import default_console, meter
from clipneuron.engine.stage import Advance, Shard, Stage, short_names, waves
from clipneuron.reports.consoles import Console
from clipneuron.reports.markup import terminal
from clipneuron.reports.quantities import counted, duration, per_second, rate
from clipneuron.store.errors import PlaceError
from clipneuron.store.outlines import Cut
from clipneuron.store.store import Run
from clipneuron.store.upkeep.causes import causes, summary

if TYPE_CHECKING:
    from rich.table import Table

logger = logging.getLogger(__name__)

MAX_FAILED_SHARE = 0.1
"""The share of a stage's rows above which a run stops, unless another one is asked for."""

PAUSE = 1.0
"""Seconds before a place that is in trouble is asked again; twice as long before each further time."""


class RunIncompleteError(RuntimeError):
    """Some shards could not be done within the allowed attempts; everything else is committed."""


@dataclass(frozen=True)
class StageReport:
    """What one stage did in this call: shards and rows done now, seconds, and failed rows of all its commits."""

    name: str
    unit: str
    shards: int
    done_now: int
    rows_now: int
    failed_rows: int
    seconds: float


def stages_table(reports: Iterable[StageReport]) -> "Table":
    """A row per stage: what was done in this call, at what rate, and what could not be used."""
    right = ("shards", "done now", "rows", "time", "rate", "failed rows")
    reports = list(reports)
    names = short_names(report.name for report in reports)
    rows = ((names[report.name], *_cells(report)) for report in reports)
    return terminal("Stages", ("stage", *right), rows, right=right, spare=("rate", "shards"))


def _cells(report: StageReport) -> tuple[str, ...]:
    return (
        f"{report.shards:,}",
        f"{report.done_now:,}" if report.done_now else "complete",
        counted(report.rows_now, report.unit) if report.rows_now else "-",
        duration(report.seconds),
        per_second(rate(report.rows_now, report.seconds)),
        f"{report.failed_rows:,}",
    )


@dataclass(frozen=True)
class Runner:
    """Brings stages to completion.

    `attempts` failed attempts at a shard, over all calls, put it into quarantine: it is not tried again before its
    failures are forgotten (`clipneuron retry-failed`).
    """

    executor: Executor = field(default_factory=InProcess)
    attempts: int = 3
    max_failed_share: float = MAX_FAILED_SHARE
    console: Console | None = None
    watch: Callable[[Run, StageReport], None] | None = None
    """Called with what each stage did, at its end, also where too many of its rows failed."""

    def run(self, stages: Sequence[Stage], run: Run) -> list[StageReport]:
        """Run the stages in order; a stage starts when the ones before it are complete.

        Raises RunIncompleteError when shards are left over or when more than `max_failed_share` of a stage's rows
        failed, and StoreError when the store cannot be used.
        """
        return [self.run_stage(stage, run) for stage in stages]

    def announce(self, stages: Sequence[Stage], run: Run) -> None:
        """Say in the store what the stages consist of, without running any; raises StoreError."""
        for stage in stages:
            run.announce(self._cut(stage, stage.shards(run)))

    def run_stage(self, stage: Stage, run: Run) -> StageReport:
        """Do and commit what is left of one stage; raises as `run` does."""
        shards = stage.shards(run)
        done = run.done(stage.name)
        todo = [shard for shard in shards if shard.name not in done]
        start = time.monotonic()
        run.announce(self._cut(stage, shards))
        if todo:
            self._work(stage, run, shards, todo)
            run.write_manifest(stage.name)
        report = self._report(stage, run, shards, todo, time.monotonic() - start)
        if self.watch:
            self.watch(run, report)
        self._check(report, run, shards)
        return report

    def _cut(self, stage: Stage, shards: Sequence[Shard]) -> Cut:
        sizes = [(shard.name, shard.rows) for shard in shards]
        return Cut.of(stage.name, stage.unit, sizes, self.attempts)

    def _work(self, stage: Stage, run: Run, shards: Sequence[Shard], todo: Sequence[Shard]) -> None:
        total = sum(shard.rows for shard in shards)
        finished = total - sum(shard.rows for shard in todo)
        console = self.console or default_console()
        wanted, lost = {shard.name for shard in todo}, list[Shard]()
        name = short_names([stage.name])[stage.name]
        with meter(console, name, total, finished, stage.unit) as bar:
            for part, wave in waves(stage, shards):
                mine = [shard for shard in wave if shard.name in wanted]
                if lost and self._fit(stage, run, lost):
                    lost += mine  # what broke off, rather than going into quarantine, would break off again
                elif mine:
                    lost += self._wave(part, run, mine, bar.advance)
        if lost:
            left = {shard.name for shard in lost}
            names = [shard.name for shard in todo if shard.name in left]
            raise RunIncompleteError(_lost_message(stage, run, names))

    def _wave(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Sequence[Shard]:
        """The shards that could not be done; raises PlaceError where a place is in trouble."""
        executor = InProcess() if stage.resources.local else self.executor
        trouble, left = None, self.attempts
        while left and (tried := self._fit(stage, run, todo)):
            trouble = self._attempt(executor, stage, run, tried, advance)
            done = run.done(stage.name)
            remaining = [shard for shard in todo if shard.name not in done]
            if not remaining or (trouble and trouble.lasting):
                todo = remaining
                break
            # A place that lets something through now and then is not given up.
            moved = trouble is not None and len(remaining) < len(todo)
            todo, left = remaining, self.attempts if moved else left - 1
            if trouble and left:
                time.sleep(PAUSE * 2 ** (self.attempts - left))
        if todo and trouble:
            raise PlaceError(_trouble_message(stage, trouble))
        return todo

    def _fit(self, stage: Stage, run: Run, todo: Sequence[Shard]) -> list[Shard]:
        """The shards that are not in quarantine."""
        failures = run.failures(stage.name)
        return [shard for shard in todo if len(failures.get(shard.name, ())) < self.attempts]

    def _attempt(
        self, executor: Executor, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Ending | None:
        """Try each shard once, unless a place is in trouble for one after another; the last trouble of a place."""
        ended: set[str] = set()
        rows = {shard.name: shard.rows for shard in todo}
        trouble, in_a_row = None, 0
        for ending in executor.execute(stage, run, todo, advance):
            ended.add(ending.shard)
            log_ending(run.name, stage.name, rows[ending.shard], ending)
            if ending.blamed:
                in_a_row = 0
                continue
            trouble, in_a_row = ending, in_a_row + 1
            if ending.lasting or in_a_row == self.attempts:
                return trouble
        missing = {shard.name for shard in todo} - ended
        if missing:
            # Shards that nobody had begun when the pipeline broke are not to blame for it.
            begun = missing.intersection(run.in_flight(stage.name, within=float("inf")))
            for shard in sorted(begun - run.done(stage.name)):
                run.record_failure(stage.name, shard, _lost_worker())
        return trouble

    def _report(
        self,
        stage: Stage,
        run: Run,
        shards: Sequence[Shard],
        todo: Sequence[Shard],
        seconds: float,
    ) -> StageReport:
        commits = run.committed(stage.name).values()
        return StageReport(
            stage.name,
            stage.unit,
            len(shards),
            len(todo),
            sum(shard.rows for shard in todo),
            # A picture that failed before is counted as the row of its last try.
            sum(len(commit.failures) for commit in commits) - _again(shards),
            seconds,
        )

    def _check(self, report: StageReport, run: Run, shards: Sequence[Shard]) -> None:
        total = sum(shard.rows for shard in shards) - _again(shards)
        if report.failed_rows > self.max_failed_share * total:
            commits = run.committed(report.name).values()
            why = summary(causes(failure for commit in commits for failure in commit.failures))
            raise RunIncompleteError(
                f"{report.name}: {report.failed_rows:,} of {counted(total, report.unit)} could not be used, more than "
                f"the allowed share of {self.max_failed_share:.0%}: {why}. `clipneuron failures {run.url}` lists all. "
                f"{_REMEDIES.get(report.unit, _REMEDY)}, or allow a larger share by `runner.max_failed_share`"
            )


def _again(shards: Sequence[Shard]) -> int:
    return sum(shard.again for shard in shards)


_REMEDY = "Change what they name: with other settings the stage is another one, and begins anew"
_REMEDIES = {
    "images": "Fix the files: the same command then begins a new run, or `clipneuron retry-failed` goes on with this "
    "one"
}
"""What can be done about failed rows, by their unit."""


def _trouble_message(stage: Stage, trouble: Ending) -> str:
    return (
        f"{stage.name}: {trouble.problem.rstrip('.')}. Nothing was recorded against any of the {stage.unit}: once "
        "that is fixed, the same command goes on from here"
    )


def _lost_worker() -> WorkerLostError:
    return WorkerLostError(
        "the process that worked on it ended without a word: it was killed, ran out of memory, or its node went away"
    )


def _lost_message(stage: Stage, run: Run, lost: Sequence[str]) -> str:
    shown = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
    many = counted(len(lost), "shards")
    failures = run.failures(stage.name)
    last = next((failures[name][-1].error for name in reversed(lost) if name in failures), None)
    if last is None:
        return (
            f"{stage.name}: {many} not begun ({shown}), because the processes that should have worked "
            "on them were lost. Everything else is committed, and the same command goes on with them"
        )
    return (
        f"{stage.name}: {many} could not be done ({shown}): {last}. Everything else is committed. More is "
        f"in failures/{stage.name}/ of {run.url}; when the cause is fixed, `clipneuron retry-failed` lets them be "
        "tried again"
    )
