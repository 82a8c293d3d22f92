"""What runs in the processes of a cluster: load a shard, process it, commit it; a row of Ray Data carries it along.

A row is one shard. Whatever goes wrong with it becomes its ending and travels on, so that no exception reaches Ray
Data, which would end the whole job over one shard.
"""

import pickle
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import pyarrow as pa
import ray

from clipneuron.engine.attempts import Ending, excuse, settle
from clipneuron.engine.stage import Shard, Stage, Worker
from clipneuron.store.store import Run

_ROW = pa.schema([("shard", pa.binary()), ("body", pa.large_binary()), ("ending", pa.binary())])
_KEPT = 2


@dataclass(frozen=True)
class Baggage:
    """What every process of a stage's pipeline can get at: put into the cluster's object store once.

    The references stand in an object of ours, so that Ray fetches what they mean only where it is asked for.
    """

    run: Run
    stage: str
    loader: "ray.ObjectRef[Any]"
    builder: "ray.ObjectRef[Any]"
    shared: "ray.ObjectRef[Any]"

    @classmethod
    def of(cls, stage: Stage, run: Run) -> "Baggage":
        """The stage's loader, the stage itself and what its workers share, each put once."""
        puts = (ray.put(value) for value in (stage.loader(run), stage, stage.share(run)))
        return cls(run, stage.name, *puts)

    def worker(self) -> Worker:
        """This process's worker."""

        def build() -> Worker:
            built: Worker = ray.get(self.builder).build(ray.get(self.shared))
            return built

        worker: Worker = _kept(self.builder.hex(), build)
        return worker

    def load(self, shard: Shard) -> Any:
        """What the shard is made of, by this process's loader."""
        return _kept(self.loader.hex(), lambda: ray.get(self.loader)).load(shard)


def rows_of(shards: Sequence[Shard]) -> list[pa.Table]:
    """A table of one row per shard, to start with."""
    return [_row(pickle.dumps(shard)) for shard in shards]


def load(row: pa.Table, baggage: Baggage) -> pa.Table:
    """Adds what the shard is made of; nothing, where another driver has committed the shard meanwhile."""
    run, stage = baggage.run, baggage.stage

    def fetch(shard: Shard, _: Any) -> Any:
        if run.is_done(stage, shard.name):
            return Ending(shard.name)
        run.started(stage, shard.name)
        return baggage.load(shard)

    return _step(row, baggage, fetch)


def process(row: pa.Table, baggage: Baggage) -> pa.Table:
    """Turns what was loaded into the shard's tables."""

    def work(_: Shard, loaded: Any) -> tuple[Any, float]:
        worker, started = baggage.worker(), time.monotonic()
        return worker.process(loaded, lambda rows: None), time.monotonic() - started

    return _step(row, baggage, work)


class Processor:
    """`process` as an actor, whose worker is built before its first shard."""

    def __init__(self, baggage: Baggage) -> None:
        self.baggage = baggage
        baggage.worker()

    def __call__(self, row: pa.Table) -> pa.Table:
        """The row with the shard's tables."""
        return process(row, self.baggage)


def commit(row: pa.Table, baggage: Baggage) -> pa.Table:
    """Commits the shard's tables; what remains of the row is its ending."""
    shard, ending = _shard(row), ending_of(row)
    if ending is None:
        output, seconds = _body(row)
        ending = settle(baggage.run, baggage.stage, shard.name, output, seconds)
    return _row(row["shard"][0].as_py(), ending=ending)


def ending_of(row: pa.Table) -> Ending | None:
    """How the shard ended, None while it is on its way."""
    data = row["ending"][0].as_py()
    ending: Ending | None = pickle.loads(data) if data else None
    return ending


def _step(row: pa.Table, baggage: Baggage, work: Callable[[Shard, Any], Any]) -> pa.Table:
    if ending_of(row) is not None:
        return row
    shard, packed = _shard(row), row["shard"][0].as_py()
    try:
        made = work(shard, _body(row))
        if isinstance(made, Ending):
            return _row(packed, ending=made)
        return _row(packed, body=cloudpickle.dumps(made))
    except Exception as error:  # a row with its reason; the other shards go on
        return _row(packed, ending=excuse(baggage.run, baggage.stage, shard.name, error))


def _row(shard: bytes, body: bytes = b"", ending: Ending | None = None) -> pa.Table:
    columns = [[shard], [body], [pickle.dumps(ending) if ending else b""]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _ROW, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_ROW)


def _shard(row: pa.Table) -> Shard:
    shard: Shard = pickle.loads(row["shard"][0].as_py())
    return shard


def _body(row: pa.Table) -> Any:
    data = row["body"][0].as_buffer()
    return pickle.loads(data) if data.size else None


_things: OrderedDict[str, Any] = OrderedDict()


def _kept(name: str, make: Callable[[], Any]) -> Any:
    """The thing of this name, made once in this process; the least recently used ones make room."""
    if name not in _things:
        _things[name] = make()
    _things.move_to_end(name)
    while len(_things) > _KEPT:
        _things.popitem(last=False)
    return _things[name]
