"""The product's own code in a simulated world: what it has of clocks, chance, threads and networks is the schedule's.

Everything above botocore's client runs as it is: `Runner`, `Run`, `S3Objects` with its retries and its reading of S3's
errors. Only Parquet is left out, as it would take most of the time: tables travel as Arrow's stream format.
"""

import io
import logging
import uuid
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from random import Random
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from clipneuron.engine import attempts, in_process, runner
from clipneuron.operations.schedule import overlap
from clipneuron.store import leases, manifests, parquet, records
from clipneuron.store.errors import DamagedError
from clipneuron.store.objects import concurrency, s3
from tests.faults.schedules.network import ENDPOINT, RETRIES, Client, Network
from tests.faults.schedules.scheduler import current
from tests.faults.schedules.threads import Event, Thread


@contextmanager
def simulated(network: Network) -> Iterator[None]:
    """Actors that run in the block live on this network."""
    chance = Random(network.scheduler.seed)
    places: list[tuple[Any, dict[str, Any]]] = [
        (s3, _storage(network, chance)),
        (concurrency, {"ThreadPoolExecutor": Inline}),
        (in_process, {"ThreadPoolExecutor": Inline, "time": _clock(network)}),
        (attempts, {"time": _clock(network)}),
        (runner, {"time": _clock(network)}),
        (leases, {"time": _clock(network)}),
        (overlap, {"time": _clock(network), "threading": _threads(network)}),
        (records, {"now": lambda: f"{current().time:.3f}", "host_info": _host}),
        # What the same bytes say is worked out once: most of the time of a schedule would go into that.
        (records, {"load": _load}),
        (manifests, {"_with_markers": _with_markers}),
        (uuid, {"uuid4": lambda: uuid.UUID(int=chance.getrandbits(128), version=4)}),
        (parquet, {"encode": _encode, "decode": _decode, "rows": lambda data: len(_decode(data))}),
    ]
    undo = [(module, name, getattr(module, name)) for module, names in places for name in names]
    disabled = logging.root.manager.disable
    try:
        logging.disable()
        for module, names in places:
            for name, value in names.items():
                setattr(module, name, value)
        yield
    finally:
        logging.disable(disabled)
        for module, name, value in undo:
            setattr(module, name, value)


class Inline:
    """An executor that does at once what it is asked for, in the caller's thread."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, call: Callable[..., Any], *arguments: Any) -> "Over":
        """A future that is over."""
        try:
            return Over(call(*arguments))
        except Exception as error:
            return Over(error=error)

    def shutdown(self, **_: Any) -> None:
        """Nothing goes on."""


class Over:
    """A future that is over, without the locks of one that is not."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error

    def result(self) -> Any:
        """The value, or the error."""
        if self.error:
            raise self.error
        return self.value


class Quiet:
    """A console that shows nothing."""

    is_terminal = False

    def print(self, *_: Any, **__: Any) -> None:
        """Nothing."""


def _storage(network: Network, chance: Random) -> dict[str, Any]:
    client = Client(network)

    async def session() -> Client:
        return client

    async def sleep(seconds: float) -> None:
        network.scheduler.sleep(seconds)

    filesystem = SimpleNamespace(loop=None, set_session=session)
    loop = SimpleNamespace(time=lambda: current().time)
    return {
        "asyncio": SimpleNamespace(get_running_loop=lambda: loop, sleep=sleep),
        "check_replacing": _Once(s3.check_replacing.__wrapped__),
        "_retry_seconds": lambda: RETRIES,
        "endpoint": lambda: ENDPOINT,
        "random": chance,
        "s3_filesystem": lambda: filesystem,
        "sync": _sync,
    }


class _Once:
    """What a process asks once, as each actor does."""

    def __init__(self, ask: Callable[[s3.S3Objects], None]) -> None:
        self.ask, self.asked = ask, set[int]()

    def __call__(self, objects: s3.S3Objects) -> None:
        if current().pid not in self.asked:
            self.ask(objects)
            self.asked.add(current().pid)


def _threads(network: Network) -> Any:
    scheduler = network.scheduler
    return SimpleNamespace(Event=partial(Event, scheduler), Thread=partial(Thread, scheduler))


def _sync(_: Any, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
    """What a coroutine returns that never waits for an event loop: its requests switch to other actors."""
    coroutine = function(*arguments)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a simulated request waited for an event loop")


def _clock(network: Network) -> Any:
    def now() -> float:
        return current().time

    return SimpleNamespace(monotonic=now, process_time=now, sleep=network.scheduler.sleep)


def _host() -> dict[str, Any]:
    return {"host": "simulated", "pid": current().pid}


def _encode(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _decode(
    source: bytes, columns: Sequence[str] | None = None, filters: object = None
) -> pa.Table:
    assert filters is None, "simulated readers read whole tables"
    table = _table(source)
    return table if columns is None else table.select(list(columns))


_of_bytes, _marked = records.load, manifests._with_markers


@lru_cache(256)
def _read(kind: type[BaseModel], data: bytes) -> BaseModel:
    return _of_bytes(kind, data, "")


def _load(kind: type[BaseModel], data: bytes, location: str) -> BaseModel:
    """As the product's: records are never changed, so that several may have one."""
    try:
        return _read(kind, data)
    except DamagedError:
        return _of_bytes(kind, data, location)


@lru_cache(64)
def _with_markers(manifest: bytes) -> pa.Table:
    return _marked(manifest)


@lru_cache(64)
def _table(source: bytes) -> pa.Table:
    return pa.ipc.open_stream(source).read_all()
