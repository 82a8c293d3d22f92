"""Runs stages in this process: what is committed is skipped, the rest is loaded ahead, done and committed."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from clipneuron.engine.progress import Meter, default_console, meter
from clipneuron.stage import Shard, Stage, Worker
from clipneuron.storage.store import Run

logger = logging.getLogger(__name__)


class RunIncompleteError(RuntimeError):
    """Some shards could not be done within the allowed attempts; everything else is committed."""


@dataclass(frozen=True)
class StageReport:
    """What one stage did in this call: rows done now, seconds, and failed rows of all its commits."""

    name: str
    unit: str
    shards: int
    done_now: int
    rows_now: int
    failed_rows: int
    seconds: float


def stages_table(reports: Iterable[StageReport]) -> Table:
    """A row per stage: what was done in this call, at what rate, and what could not be used."""
    table = Table(title="Stages", title_justify="left")
    for heading in ("stage", "shards", "done now", "rows", "seconds", "rate", "failed rows"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for report in reports:
        rate = report.rows_now / report.seconds if report.rows_now else 0.0
        table.add_row(
            report.name,
            f"{report.shards:,}",
            f"{report.done_now:,}" if report.done_now else "complete",
            f"{report.rows_now:,} {report.unit}" if report.rows_now else "-",
            f"{report.seconds:.1f}",
            f"{rate:,.0f}/s" if rate else "-",
            f"{report.failed_rows:,}",
        )
    return table


@dataclass(frozen=True)
class InProcessRunner:
    """The engine for one machine. `attempts` bounds how often a shard is tried before the run gives up on it."""

    attempts: int = 2
    max_failed_share: float = 0.1
    console: Console | None = None

    def run(self, stages: Sequence[Stage], run: Run) -> list[StageReport]:
        """Run the stages in order; a stage starts when the ones it reads are complete.

        Raises RunIncompleteError when shards are left over, or when more than `max_failed_share` of a
        stage's rows failed.
        """
        return [self.run_stage(stage, run) for stage in stages]

    def run_stage(self, stage: Stage, run: Run) -> StageReport:
        """Do and commit what is left of one stage."""
        shards = stage.shards(run)
        done = run.committed(stage.name)
        todo = [shard for shard in shards if shard.name not in done]
        start = time.monotonic()
        if todo:
            self._work(stage, run, shards, todo)
        report = self._report(stage, run, shards, todo, time.monotonic() - start)
        self._check(report, shards)
        return report

    def _work(self, stage: Stage, run: Run, shards: Sequence[Shard], todo: Sequence[Shard]) -> None:
        total = sum(shard.rows for shard in shards)
        finished = total - sum(shard.rows for shard in todo)
        console = self.console or default_console()
        with meter(console, stage.name, total, finished, stage.unit) as bar:
            worker = stage.build(run)
            lost = [
                shard.name
                for shard, loaded in _loaded_ahead(worker, todo)
                if not self._finish(stage, run, worker, shard, loaded, bar)
            ]
        if lost:
            raise RunIncompleteError(_lost_message(stage, run, lost))

    def _finish(
        self,
        stage: Stage,
        run: Run,
        worker: Worker,
        shard: Shard,
        loaded: "Future[Any]",
        bar: Meter,
    ) -> bool:
        """Commit one shard, trying again from the load when something fails; False when attempts run out."""
        for attempt in range(self.attempts):
            started = time.monotonic()
            counted: list[int] = []

            def advance(rows: int, counted: list[int] = counted) -> None:
                counted.append(rows)
                bar.advance(rows)

            try:
                ready = loaded.result() if attempt == 0 else worker.load(shard)
                output = worker.process(ready, advance)
                seconds = time.monotonic() - started
                run.commit(
                    stage.name,
                    shard.name,
                    output.tables,
                    failures=output.failures,
                    timings={"process": seconds},
                )
            except Exception as error:  # a shard's failure is a record, never the end of the others
                bar.advance(-sum(counted))
                run.record_failure(stage.name, shard.name, error)
                logger.warning("%s shard %s failed: %s", stage.name, shard.name, error)
                continue
            logger.info("%s shard %s: %d rows, %.1f s", stage.name, shard.name, shard.rows, seconds)
            return True
        return False

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
            sum(len(commit.failures) for commit in commits),
            seconds,
        )

    def _check(self, report: StageReport, shards: Sequence[Shard]) -> None:
        total = sum(shard.rows for shard in shards)
        if report.failed_rows > self.max_failed_share * total:
            raise RunIncompleteError(
                f"{report.name}: {report.failed_rows} of {total} {report.unit} could not be used, more than the "
                f"allowed share of {self.max_failed_share:.0%}; their reasons are in the commits of this stage. "
                "Allow a larger share with --max-failed-share, or mend the files and use another --store"
            )


def _loaded_ahead(worker: Worker, todo: Sequence[Shard]) -> Iterator[tuple[Shard, "Future[Any]"]]:
    """Each shard with its loaded content, the next one loading while this one is processed."""
    with ThreadPoolExecutor(1, thread_name_prefix="load") as loader:
        upcoming = loader.submit(worker.load, todo[0])
        for place, shard in enumerate(todo):
            current = upcoming
            if place + 1 < len(todo):
                upcoming = loader.submit(worker.load, todo[place + 1])
            yield shard, current


def _lost_message(stage: Stage, run: Run, lost: Sequence[str]) -> str:
    shown = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
    last = run.failures(stage.name)[lost[-1]][-1]
    return (
        f"{stage.name}: {len(lost)} shards could not be done ({shown}): {last.error}. Everything else is committed, "
        f"and the same command tries only these again. Tracebacks are in failures/{stage.name}/ of {run.url}"
    )
