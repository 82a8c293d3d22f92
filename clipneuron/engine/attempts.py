"""One attempt at one shard: how it ends, and what is written down about that, wherever it ran."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from clipneuron.engine.stage import Advance, Output, Shard, Stage
from clipneuron.reports.quantities import counted, duration, per_second, rate
from clipneuron.store.errors import StoreError
from clipneuron.store.records import Commit, Usage
from clipneuron.store.store import Run
from clipneuron.store.traffic import Lap

logger = logging.getLogger(__name__)


class WorkerLostError(RuntimeError):
    """The process that worked on a shard ended without a word: killed, out of memory, or its node went away."""


@dataclass(frozen=True)
class Stopwatch:
    """The clocks of this process at the start of a piece of work; its pieces follow one another."""

    wall: float
    cpu: float

    @classmethod
    def started(cls) -> "Stopwatch":
        """The clocks now."""
        return cls(time.monotonic(), time.process_time())

    @property
    def seconds(self) -> float:
        """By the clock on the wall, since then."""
        return time.monotonic() - self.wall

    @property
    def cpu_seconds(self) -> float:
        """Of processors, since then."""
        return time.process_time() - self.cpu


@dataclass(frozen=True)
class Ending:
    """How an attempt at a shard ended."""

    shard: str
    problem: str = ""
    """What went wrong, empty when the shard is committed."""
    blamed: bool = True
    """Whether the attempt counts against the shard; trouble of a place does not."""
    lasting: bool = False
    """Whether it is of no use to try again at once: a service was waited for, or has refused."""
    failures: int = 0
    """Failed attempts at the shard that are on record, this one included."""
    done: "Done | None" = None
    """What is committed; None where the attempt failed, or found the shard committed."""


@dataclass(frozen=True)
class Done:
    """What a committed shard took and left."""

    usage: Usage
    size: int
    """Bytes of its tables."""
    failed_rows: int
    commit: float
    """Seconds from the first request of its commit to the answer to the last one."""

    @classmethod
    def of(cls, commit: Commit, seconds: float) -> "Done":
        """What a commit that took so many seconds says."""
        return cls(commit.usage or Usage(), commit.size, len(commit.failures), seconds)


class Executor(Protocol):
    """Tries shards, here or on a cluster."""

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        """One attempt at each shard, in any order; a shard whose process died has no ending.

        `advance` is called with rows as they are done, and with negative numbers when an attempt failed.
        """
        ...


def commit_output(
    run: Run, stage: str, shard: str, output: Output, usage: Usage, asked: Lap
) -> Ending:
    """Commit what an attempt made, and what that took; `asked` is what is not in its usage yet."""
    started = time.monotonic()
    try:
        commit = run.commit(
            stage,
            shard,
            output.tables,
            failures=output.failures,
            timings={"process": usage.process},
            usage=usage,
            asked=asked,
        )
    except Exception as error:
        return record_failure(run, stage, shard, error)
    return Ending(shard, done=Done.of(commit, time.monotonic() - started))


def record_failure(run: Run, stage: str, shard: str, error: Exception) -> Ending:
    """Write down why an attempt failed; trouble of a place is only passed on.

    Places are the store, that of the pictures (StoreError), and services and hubs that models are had from
    (ConnectionError, once they were waited for). They say nothing about the shard.
    """
    logger.warning("%s shard %s failed: %s", stage, shard, error)
    if isinstance(error, StoreError | ConnectionError):
        with suppress(StoreError):
            run.withdraw(stage, shard)
        return Ending(shard, str(error), blamed=False, lasting=isinstance(error, ConnectionError))
    try:
        failures = run.record_failure(stage, shard, error)
    except StoreError as trouble:
        return Ending(shard, str(trouble), blamed=False)
    return Ending(shard, f"{type(error).__name__}: {error}", failures=failures)


def log_ending(run: str, stage: str, rows: int, ending: Ending) -> None:
    """One line in the log for an attempt at a shard, with its figures as fields for a structured log."""
    fields: dict[str, Any] = {
        "event": "shard",
        "run": run,
        "stage": stage,
        "shard": ending.shard,
        "rows": rows,
    }
    if ending.done is None:
        outcome = f"failed: {ending.problem}" if ending.problem else "was done already"
        told = {"outcome": "failed" if ending.problem else "done before"}
        if ending.problem:
            told["problem"] = ending.problem
        logger.info("%s shard %s %s", stage, ending.shard, outcome, extra=fields | told)
        return
    done, usage = ending.done, ending.done.usage
    figures = {
        "outcome": "committed",
        "failed_rows": done.failed_rows,
        "bytes": done.size,
        "bytes_read": usage.bytes_read,
        "cached": usage.cached,
        "reads": usage.reads,
        "writes": usage.writes,
        "commit_seconds": round(done.commit, 4),
        **{f"{name}_seconds": round(getattr(usage, name), 4) for name in ("load", "process")},
        **{name: round(getattr(usage, name), 4) for name in ("core_seconds", "gpu_seconds")},
    }
    shown = f"{counted(rows, 'rows')} in {duration(usage.process)}, {per_second(rate(rows, usage.process))}"
    logger.info("%s shard %s: %s", stage, ending.shard, shown, extra=fields | figures)
