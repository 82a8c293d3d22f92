"""An executor for tests: the cluster's own steps, in this process, with its pickles between them.

Whatever crosses from one process to another on a cluster (the stage, its loader, what its workers share, the context of
its tasks, the shards and their tables) is pickled here at the same places by the same pickler, and unpickled anew where
it arrives; arrays arrive read-only, as from a cluster's object store. What is left out is Ray Data itself.
"""

import itertools
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import ray.cloudpickle as cloudpickle

from clipneuron.engine import ray_steps
from clipneuron.engine.attempts import Ending
from clipneuron.engine.packing import Packer
from clipneuron.engine.stage import Advance, Shard, Stage, decodes
from clipneuron.store.store import Run


@dataclass(frozen=True)
class Packed:
    """A value on its way between processes."""

    pickled: bytes
    buffers: tuple[bytes, ...]

    @classmethod
    def of(cls, value: Any) -> "Packed":
        buffers: list[pickle.PickleBuffer] = []
        pickled = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        return cls(pickled, tuple(bytes(buffer) for buffer in buffers))

    def value(self) -> Any:
        """A copy of its own, arrays read-only."""
        return pickle.loads(self.pickled, buffers=self.buffers)


@dataclass(frozen=True)
class Reference:
    """Stands for a reference to what was put into the object store."""

    number: int

    def hex(self) -> str:
        return f"pickled-{self.number}"


class ObjectStore:
    """What was put, pickled; every get gives a new copy."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        self._packed: dict[Reference, Packed] = {}

    def put(self, value: Any) -> Reference:
        reference = Reference(next(self._numbers))
        self._packed[reference] = Packed.of(value)
        return reference

    def get(self, reference: Reference) -> Any:
        return self._packed[reference].value()


@dataclass(frozen=True)
class Pickled:
    """Tries shards in order by the steps that a cluster's processes take; what travels once does so once here too."""

    store: ObjectStore = field(default_factory=ObjectStore)
    packer: Packer = field(default_factory=Packer)

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        """One attempt at each shard."""
        with patch.multiple(ray_steps.ray, put=self.store.put, get=self.store.get):
            loader = stage.loader(run)
            context = Packed.of(ray_steps.TaskContext.of(stage, loader, run, self.packer))
            steps = _steps(context, decodes(loader))
            for shard, row in zip(todo, ray_steps.rows_of(todo), strict=True):
                made: Any = row
                for step in steps:
                    made = step(_sent(made))
                ending: Ending = Packed.of(made).value()
                advance(0 if ending.problem else shard.rows)
                yield ending


def _steps(context: Packed, decodes: bool) -> list[Callable[[pa.Table], Any]]:
    """The steps of dispatch.py, each with its own copy of the context, as if in a process of its own."""

    def task(step: Callable[..., Any]) -> Callable[[pa.Table], Any]:
        sent = Packed.of(step)
        return lambda row: sent.value()(row, context.value())

    process = ray_steps.WorkerProcess(1.0)
    process.prepare(context.value())
    first = [task(ray_steps.load)] if decodes else []
    return [*first, lambda row: process.process(row, context.value())[1], task(ray_steps.commit)]


def _sent(row: pa.Table) -> pa.Table:
    """The row as it arrives in another process."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_table(row)
    return pa.ipc.open_stream(sink.getvalue()).read_all()
