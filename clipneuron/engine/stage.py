"""What a stage says about itself. This module runs nothing: the engine does, here or on a cluster.

A stage is one arrow of the flow. It names what it reads and writes, cuts its work into shards, and makes a
loader (no model: reading, decoding) and a worker (the model or the maths), so that an engine can overlap them, in
one process or in many. Both must be safe to repeat: the only effect of a shard is its commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
from pydantic import Field

from clipneuron.config.base import Config
from clipneuron.store.store import Failure, Run


class Resources(Config):
    """What one worker of a stage needs, in the engine's units."""

    cpus: float = Field(default=1.0, gt=0, description="CPU cores per worker")
    gpus: float = Field(default=0.0, ge=0, description="GPUs per worker; a fraction shares one")
    pool: str = Field(
        default="",
        description="the pool of model actors that does the work, such as clip; empty: a task per shard",
    )
    memory: float = Field(
        default=0.0, ge=0, description="GiB of main memory that an actor needs; 0: not declared"
    )
    local: bool = Field(default=False, description="small work that stays with the driver")


@dataclass(frozen=True)
class Shard:
    """The unit of work, of retry and of resume. `rows` counts its pictures or neurons for the progress bar."""

    name: str
    rows: int
    payload: Any = None
    again: int = 0
    """Rows that failed in an earlier shard and are tried again in this one."""


@dataclass(frozen=True)
class Output:
    """What one shard yields: tables by name, and the rows that failed with their reasons."""

    tables: Mapping[str, pa.Table]
    failures: Sequence[Failure] = field(default_factory=tuple)


Advance = Callable[[int], None]
"""Called with the number of rows just finished."""


class Loader(Protocol):
    """Fetches what a shard is made of. Small: it travels to the processes that read and decode."""

    def load(self, shard: Shard) -> Any:
        """Whatever a worker's `process` needs of this shard; may run in another thread or process."""
        ...


class Worker(Protocol):
    """Does the work of a stage's shards, one after another, in one process."""

    def process(self, loaded: Any, advance: Advance) -> Output:
        """The shard's tables."""
        ...


class Stage(Protocol):
    """One arrow of the flow. Picklable: it travels to the processes that build workers."""

    @property
    def name(self) -> str:
        """Key of the stage's commits, such as `effects`."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Keys of the stages whose commits must be complete first."""
        ...

    @property
    def writes(self) -> tuple[str, ...]:
        """Names of the tables in its commits."""
        ...

    @property
    def unit(self) -> str:
        """What `Shard.rows` counts, such as `images`."""
        ...

    @property
    def resources(self) -> Resources:
        """What one worker needs."""
        ...

    def shards(self, run: Run) -> Sequence[Shard]:
        """All shards of the run, done or not, in a stable order."""
        ...

    def loader(self, run: Run) -> Loader:
        """A loader, without anything heavy."""
        ...

    def share(self, run: Run) -> Any:
        """What all workers read alike, read once per run; as arrays, of which a cluster keeps one copy per node."""
        ...

    def build(self, shared: Any) -> Worker:
        """A worker on what `share` gave; loads the model, where there is one."""
        ...
