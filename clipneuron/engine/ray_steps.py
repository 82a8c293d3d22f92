"""What runs in the processes of a cluster: load a shard, process it, commit it; a table of one row carries it along.

Whatever goes wrong with a shard becomes its ending and travels on, so that no exception reaches Ray, which would end
the whole job over one shard. A process that only loads or commits imports nothing of a stage's worker, and so no
library of models: the row holds the shard's name apart from its payload.
"""

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pyarrow as pa
import ray

from clipneuron.engine.attempts import Ending, Stopwatch, commit_output, record_failure
from clipneuron.engine.packing import Packed, Packer
from clipneuron.engine.stage import Loader, Output, Shard, Stage, Worker
from clipneuron.store.records import Usage
from clipneuron.store.store import Run
from clipneuron.store.traffic import Lap

_ROW = pa.schema(
    [
        ("name", pa.string()),
        ("shard", pa.binary()),
        ("body", pa.large_binary()),
        ("ending", pa.binary()),
        ("usage", pa.binary()),
    ]
)
_KEPT = 2


@dataclass(frozen=True)
class TaskContext:
    """What every process that works on a stage can get at: put into the cluster's object store once.

    The references stand in an object of ours, so that Ray fetches what they mean only where it is asked for.
    """

    run: Run
    stage: str
    loader: Packed
    builder: Packed
    shared: "ray.ObjectRef[Any]"
    cpus: float
    """Cores that a process of the crew holds."""
    gpus: float

    @classmethod
    def of(
        cls,
        stage: Stage,
        loader: Loader,
        run: Run,
        packer: Packer,
        cpus: float = 1.0,
        gpus: float = 0.0,
    ) -> "TaskContext":
        """The stage's loader, the stage itself and what its workers share, for processes that hold so much."""
        shared = ray.put(stage.share(run))
        return cls(run, stage.name, packer.pack(loader), packer.pack(stage), shared, cpus, gpus)

    def worker(self) -> Worker:
        """This process's worker."""

        def build() -> Worker:
            built: Worker = self.builder.unpack().build(ray.get(self.shared))
            return built

        worker: Worker = _kept(_workers, self.builder.data.hex(), build)
        return worker

    def load(self, shard: Shard) -> Any:
        """What the shard is made of, by this process's loader."""
        return _kept(_loaders, self.loader.data.hex(), self.loader.unpack).load(shard)


def rows_of(shards: Sequence[Shard]) -> list[pa.Table]:
    """A table of one row per shard, to start with."""
    return [_row(shard.name, pickle.dumps(shard)) for shard in shards]


def load(row: pa.Table, context: TaskContext) -> pa.Table:
    """Adds what the shard is made of; nothing, where another driver has committed the shard meanwhile."""
    run, stage = context.run, context.stage

    def fetch() -> Any:
        if run.is_done(stage, _name(row)):
            return Ending(_name(row))
        run.started(stage, _name(row))
        return context.load(pickle.loads(row["shard"][0].as_py()))

    spent, asked = Stopwatch.started(), Lap()
    return _step(row, context, fetch, lambda: _loading(spent, 1.0).with_traffic(asked.take()))


class WorkerProcess:
    """A process that lives from stage to stage of a run, and keeps the workers of the last two.

    Without a share of a GPU it sees none: Ray 2.60 shows all of a node's to a process that asked for none,
    and one per core would fill a GPU beside the models.
    """

    def __init__(self, gpus: float) -> None:
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def prepare(self, context: TaskContext) -> None:
        """Builds the stage's worker, if it is not there yet."""
        context.worker()

    def process(self, row: pa.Table, context: TaskContext) -> tuple[None, pa.Table]:
        """The row with the shard's tables; the shard is loaded here unless it was before.

        None comes first: a small answer that says that there is a large one.
        """
        ready = row if _has_body(row) else load(row, context)
        before, spent, asked = _usage(ready), Stopwatch.started(), Lap()
        if not _has_body(row):  # loaded here, where more is held than by a process that only loads
            held = {"core_seconds": before.load * context.cpus}
            held |= {"gpu_seconds": before.load * context.gpus}
            before = before.model_copy(update=held)

        def work() -> Output:
            worker = context.worker()
            return worker.process(_body(ready), lambda rows: None)

        def took() -> Usage:
            return _processing(spent, before, context).with_traffic(asked.take())

        return None, _step(ready, context, work, took)


def commit(row: pa.Table, context: TaskContext) -> Ending:
    """Commits the shard's tables, if it has not ended before: how it ended."""
    ending, asked = _ending(row), Lap()
    if ending is not None:
        return ending
    return commit_output(context.run, context.stage, _name(row), _body(row), _usage(row), asked)


def _loading(spent: Stopwatch, cpus: float) -> Usage:
    seconds = spent.seconds
    return Usage(load=seconds, core_seconds=seconds * cpus, cpu_seconds=spent.cpu_seconds)


def _processing(spent: Stopwatch, before: Usage, context: TaskContext) -> Usage:
    seconds = spent.seconds
    took = {
        "process": seconds,
        "core_seconds": before.core_seconds + seconds * context.cpus,
        "gpu_seconds": before.gpu_seconds + seconds * context.gpus,
        "cpu_seconds": before.cpu_seconds + spent.cpu_seconds,
    }
    return before.model_copy(update=took)


def _step(
    row: pa.Table, context: TaskContext, work: Callable[[], Any], spent: Callable[[], Usage]
) -> pa.Table:
    if _ending(row) is not None:
        return row
    name, packed = _name(row), row["shard"][0].as_py()
    try:
        made = work()
        if isinstance(made, Ending):
            return _row(name, packed, ending=made)
        return _row(name, packed, body=cloudpickle.dumps(made), usage=spent())
    except Exception as error:  # a row with its reason; the other shards go on
        ending = record_failure(context.run, context.stage, name, error)
        return _row(name, packed, ending=ending)


def _row(
    name: str,
    shard: bytes,
    body: bytes = b"",
    ending: Ending | None = None,
    usage: Usage | None = None,
) -> pa.Table:
    told = [[pickle.dumps(each) if each else b""] for each in (ending, usage)]
    columns = [[name], [shard], [body], *told]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _ROW, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_ROW)


def _name(row: pa.Table) -> str:
    name: str = row["name"][0].as_py()
    return name


def _has_body(row: pa.Table) -> bool:
    return bool(row["body"][0].as_buffer().size)


def _body(row: pa.Table) -> Any:
    return pickle.loads(row["body"][0].as_buffer())


def _usage(row: pa.Table) -> Usage:
    """What the shard took so far."""
    data = row["usage"][0].as_py()
    usage: Usage = pickle.loads(data) if data else Usage()
    return usage


def _ending(row: pa.Table) -> Ending | None:
    """How the shard ended, None while it is on its way."""
    data = row["ending"][0].as_py()
    ending: Ending | None = pickle.loads(data) if data else None
    return ending


_loaders: OrderedDict[str, Any] = OrderedDict()
_workers: OrderedDict[str, Any] = OrderedDict()


def _kept(things: OrderedDict[str, Any], name: str, make: Callable[[], Any]) -> Any:
    """The thing of this name, made once in this process; the least recently used ones are dropped."""
    if name not in things:
        things[name] = make()
    things.move_to_end(name)
    while len(things) > _KEPT:
        things.popitem(last=False)
    return things[name]
