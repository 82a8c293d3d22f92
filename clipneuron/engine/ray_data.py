"""The executor of a cluster: shards stream through Ray Data from decoding tasks through model actors to commits."""

import gc
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
import ray.data
from rich.console import Console

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine import ray_steps as shuttle
from clipneuron.engine.attempts import Ending
from clipneuron.engine.cluster import Placement, placed
from clipneuron.engine.stage import Advance, Shard, Stage
from clipneuron.store.store import Run

logger = logging.getLogger(__name__)

_AHEAD = 2
"""Shards that wait at an actor or are in it. One that kills the actor takes the other along, and both are blamed:
so shards that have failed before are given out one by one, and only the killer is blamed again."""


class PipelineError(RuntimeError):
    """The cluster could not work on a single shard: a model that can't be built there, or no worker that lives."""


@dataclass(frozen=True)
class RayData:
    """Tries shards on the connected cluster; one row of Ray Data is one shard."""

    options: ClusterOptions
    console: Console

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        """One attempt at each shard, as they end; shards whose process died too often have no ending.

        Raises PipelineError when not even one shard came to an end.
        """
        rows = {shard.name: shard.rows for shard in todo}
        ended = 0
        try:
            with _quiet_context():
                for ending in self._endings(stage, run, todo):
                    advance(0 if ending.problem else rows[ending.shard])
                    ended += 1
                    yield ending
        except ray.exceptions.RayError as error:
            if not ended:
                raise PipelineError(
                    f"{stage.name}: nothing could be done: {_cause(error)}"
                ) from error
            # What is committed is committed: the runner sees what is left and tries again, or gives up in words.
            logger.warning("%s: the pipeline broke off: %s", stage.name, error)
        finally:
            # Ray Data lets go of its actors by reference counting, and cycles hold them, with their cores, until this.
            gc.collect()

    def _endings(self, stage: Stage, run: Run, todo: Sequence[Shard]) -> Iterator[Ending]:
        baggage = {"baggage": shuttle.Baggage.of(stage, run)}
        each: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}
        tasks: dict[str, Any] = {**each, "fn_kwargs": baggage, "max_retries": self.options.retries}
        data: Any = ray.data.from_arrow(shuttle.rows_of(todo))
        data = data.map_batches(
            shuttle.load,
            num_cpus=1,
            compute=ray.data.TaskPoolStrategy(self.options.decoders or None),
            **tasks,
        )
        if stage.resources.pool:
            failed = run.failures(stage.name).keys() & {shard.name for shard in todo}
            place = placed(stage.resources, self.options, self.console, again=bool(failed))
            actors = self._actors(place, at_a_time=1 if failed else _AHEAD)
            data = data.map_batches(
                shuttle.Processor, fn_constructor_kwargs=baggage, **each, **actors
            )
        else:
            data = data.map_batches(shuttle.process, num_cpus=stage.resources.cpus, **tasks)
        data = data.map_batches(shuttle.commit, num_cpus=0.5, **tasks)
        for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from _endings_in(batch)

    def _actors(self, place: Placement, at_a_time: int) -> dict[str, Any]:
        return {
            "compute": ray.data.ActorPoolStrategy(
                size=place.actors, max_tasks_in_flight_per_actor=at_a_time
            ),
            "num_cpus": place.cpus,
            "num_gpus": place.gpus,
            "memory": place.memory * 2**30 or None,
            "resources": place.resources,
            # Ray's own default repeats a shard that kills its process for ever.
            "max_restarts": -1,
            "max_task_retries": self.options.retries,
        }


def _cause(error: Exception) -> str:
    """The last line of what a worker said before it gave up, which names the error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _endings_in(batch: Any) -> Iterator[Ending]:
    for number in range(batch.num_rows):
        ending = shuttle.ending_of(batch.slice(number, 1))
        if ending is not None:
            yield ending


@contextmanager
def _quiet_context() -> Iterator[None]:
    """Ray Data for our purpose: a lost block is a shard without an ending, not the end; progress is ours to show."""
    context = ray.data.DataContext.get_current().copy()
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logs = logging.getLogger("ray.data")
    level = logs.level
    logs.setLevel(logging.CRITICAL)
    try:
        with ray.data.DataContext.current(context), warnings.catch_warnings():
            # In 2.60 the bounds on retries have no parameters of their own to be given by.
            warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
            yield
    finally:
        logs.setLevel(level)
