"""The executor of a cluster: Ray Data streams shards through decoding tasks to processes that live through the run."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import finalize

import ray
import ray.data

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine import ray_steps as steps
from clipneuron.engine.attempts import Ending
from clipneuron.engine.cluster.metrics import StageMetrics
from clipneuron.engine.cluster.nodes import placed
from clipneuron.engine.crew import Crew, Crews
from clipneuron.engine.dispatch import CrewLostError, Decoded, Dispatch, Supply, Unloaded
from clipneuron.engine.packing import Packer
from clipneuron.engine.stage import Advance, Resources, Shard, Stage, decodes
from clipneuron.reports.consoles import Console
from clipneuron.store.store import Run

logger = logging.getLogger(__name__)


class PipelineError(RuntimeError):
    """The cluster could not work on a single shard: a model that can't be built there, or no worker that lives."""


@dataclass
class RayData:
    """Tries shards on the connected cluster; one row of Ray Data is one shard.

    Its processes stay for the next stage, and end when that needs others, when a stage breaks off, or with this object.
    """

    options: ClusterOptions
    console: Console
    attempts: int = 3
    """Failed attempts that put a shard into quarantine, as its runner counts them; for the metrics."""
    _crews: Crews = field(default_factory=Crews, init=False, repr=False)
    _placed: set[Resources] = field(default_factory=set, init=False, repr=False)
    """What processes have had space for in this run."""
    _packer: Packer = field(default_factory=Packer, init=False, repr=False)

    def __post_init__(self) -> None:
        # Not left to Ray's counting of references: answers that never came still hold some.
        finalize(self, self._crews.dismiss).atexit = False
        self._crews.grows = self.options.wait > 0

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        """One attempt at each shard, as they end; shards whose process died too often have no ending.

        Raises PipelineError when not even one shard came to an end.
        """
        shards, metrics = (
            {shard.name: shard for shard in todo},
            StageMetrics.of(stage, run, self.attempts),
        )
        ended, whole = 0, False
        try:
            with _quiet_context():
                for ending in self._endings(stage, run, todo, metrics):
                    shard = shards[ending.shard]
                    advance(0 if ending.problem else shard.rows)
                    metrics.ended(ending, shard)
                    ended += 1
                    yield ending
            whole = True
        except (ray.exceptions.RayError, CrewLostError) as error:
            if not ended:
                raise PipelineError(
                    f"{stage.name}: nothing could be done: {_cause(error)}"
                ) from error
            # What is committed is committed: the runner sees what is left and tries again, or gives up in words.
            logger.warning("%s: the pipeline broke off: %s", stage.name, error)
        finally:
            if not whole:
                self._crews.dismiss()

    def _endings(
        self, stage: Stage, run: Run, todo: Sequence[Shard], metrics: StageMetrics
    ) -> Iterator[Ending]:
        failed = run.failures(stage.name).keys() & {shard.name for shard in todo}
        crew = self._crew(stage, again=bool(failed))
        loader = stage.loader(run)
        held = crew.place.cpus, crew.place.gpus
        context = steps.TaskContext.of(stage, loader, run, self._packer, *held)
        supply: Supply = Unloaded(steps.rows_of(todo))
        if decodes(loader):
            supply = Decoded(self._stream(context, todo), ahead=crew.place.actors)
        yield from Dispatch(crew, context, self.options.retries, metrics).endings(supply)

    def _stream(self, context: steps.TaskContext, todo: Sequence[Shard]) -> Any:
        # from_arrow would ask a task about each table, and wait for ever where all cores are held.
        data: Any = ray.data.from_blocks(steps.rows_of(todo))
        return data.map_batches(
            steps.load,
            num_cpus=1,
            compute=ray.data.TaskPoolStrategy(self.options.decoders or None),
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs={"context": context},
            max_retries=self.options.retries,
        )

    def _crew(self, stage: Stage, again: bool) -> Crew:
        """The processes for a stage: those that are there already, if they are of the right size."""
        if not stage.resources.pool:
            return self._crews.for_tasks(stage.resources)
        # What had space once and has none now has lost nodes: no reason to give up a run that is under way.
        again = again or stage.resources in self._placed
        place = placed(stage.resources, self.options, self.console, again=again)
        self._placed.add(stage.resources)
        return self._crews.for_models(place)


def _cause(error: Exception) -> str:
    """The last line of what a worker said before it gave up, which names the error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


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
