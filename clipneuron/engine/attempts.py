"""One attempt at one shard: how it ends, and what is written down about that, wherever it ran."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from clipneuron.engine.stage import Advance, Output, Shard, Stage
from clipneuron.store.errors import StoreError
from clipneuron.store.store import Run

logger = logging.getLogger(__name__)


class WorkerLostError(RuntimeError):
    """The process that worked on a shard ended without a word: killed, out of memory, or its node went away."""


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


class Executor(Protocol):
    """Tries shards, here or on a cluster."""

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        """One attempt at each shard, in any order; a shard whose process died has no ending.

        `advance` is called with rows as they are done, and with negative numbers when an attempt failed.
        """
        ...


def commit_output(run: Run, stage: str, shard: str, output: Output, seconds: float) -> Ending:
    """Commit what an attempt made."""
    try:
        run.commit(
            stage, shard, output.tables, failures=output.failures, timings={"process": seconds}
        )
    except Exception as error:
        return record_failure(run, stage, shard, error)
    return Ending(shard)


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
        run.record_failure(stage, shard, error)
    except StoreError as trouble:
        return Ending(shard, str(trouble), blamed=False)
    return Ending(shard, f"{type(error).__name__}: {error}")
