"""What a stage says about itself. This module runs nothing: the engine does, here or on a cluster.

A stage is one arrow of the flow. It names what it reads and writes, cuts its work into shards, and makes a
loader (no model: reading, decoding) and a worker (the model or the maths), so that an engine can overlap them, in
one process or in many. Both must be safe to repeat: the only effect of a shard is its commit.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
from pydantic import Field

from clipneuron.config.base import Config
from clipneuron.store.identity import canonical
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


@runtime_checkable
class DecodingLoader(Loader, Protocol):
    """A loader that may be slow enough for processes of its own on a cluster, beside those that compute."""

    @property
    def decodes(self) -> bool:
        """Whether it is."""
        ...


def decodes(loader: Loader) -> bool:
    """Whether a loader asks for processes of its own; one that does not speak of it does not."""
    return isinstance(loader, DecodingLoader) and loader.decodes


class Worker(Protocol):
    """Does the work of a stage's shards, one after another, in one process."""

    def process(self, loaded: Any, advance: Advance) -> Output:
        """The shard's tables."""
        ...


class Upstream(Protocol):
    """A stage as those that read it need it: the key of its commits."""

    @property
    def name(self) -> str:
        """Key of the stage's commits."""
        ...


@dataclass(frozen=True)
class Named:
    """A stage by its name alone: all that travels of the stages that another one reads."""

    name: str


class Stage(ABC):
    """One arrow of the flow, which holds the stages that it reads. Picklable: it travels to where workers are built."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it does, in a word such as `effects`; what pipelines are stopped by."""

    @property
    @abstractmethod
    def reads(self) -> tuple[Upstream, ...]:
        """The stages whose commits must be complete first."""

    @property
    @abstractmethod
    def writes(self) -> tuple[str, ...]:
        """Names of the tables in its commits."""

    @property
    @abstractmethod
    def unit(self) -> str:
        """What `Shard.rows` counts, such as `images`."""

    @property
    @abstractmethod
    def resources(self) -> Resources:
        """What one worker needs."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What sets the stage apart from others of its kind in one run, besides what it reads: plain JSON values.

        Content, never places: a digest of texts or weights, not the path that they came from.
        """
        return {}

    @property
    def label(self) -> str:
        """A word for people in the name, such as the name of a pool of texts; empty for none."""
        return ""

    @cached_property
    def name(self) -> str:
        """Key of the stage's commits; raises ValueError for an identity that is not plain JSON."""
        return name_of(self.kind, self.label, self.identity, self.reads)

    @abstractmethod
    def shards(self, run: Run) -> Sequence[Shard]:
        """All shards of the run, done or not, in a stable order."""

    @abstractmethod
    def loader(self, run: Run) -> Loader:
        """A loader, without anything heavy."""

    @abstractmethod
    def share(self, run: Run) -> Any:
        """What all workers read alike, read once per run; as arrays, of which a cluster keeps one copy per node."""

    @abstractmethod
    def build(self, shared: Any) -> Worker:
        """A worker on what `share` gave; loads the model, where there is one."""

    def __getstate__(self) -> dict[str, Any]:
        """The fields, with names in place of stages: a worker needs nothing else of them, least of all their models."""
        own = {**vars(self), "name": self.name}
        return {field: _by_name(value) for field, value in own.items()}


@runtime_checkable
class InWaves(Protocol):
    """A stage some of whose shards are easier once others are committed."""

    def waves(self, shards: Sequence[Shard]) -> Sequence[tuple[Stage, Sequence[Shard]]]:
        """All its shards in waves, each with the stage, of the same name, as it works then.

        A wave begins when those before it are committed, apart from what is in quarantine. Which shard is in which
        wave follows from the shards alone, so that all drivers of a run agree; shards that are added later, behind
        the others, change nothing of the waves before them.
        """
        ...


def waves(stage: Stage, shards: Sequence[Shard]) -> Sequence[tuple[Stage, Sequence[Shard]]]:
    """The stage's waves; a single one of a stage that does not speak of them."""
    return stage.waves(shards) if isinstance(stage, InWaves) else [(stage, shards)]


def name_of(
    kind: str, label: str, identity: Mapping[str, object], reads: Sequence[Upstream]
) -> str:
    """`kind-label-digest`; the kind alone, where neither the stage nor what it reads is set apart by anything.

    The digest is of the identity's canonical JSON and of the names of the stages read. Raises ValueError for what
    JSON cannot express.

    >>> name_of("effects", "", {}, [Named("plan")])
    'effects'
    >>> name_of("texts", "words-10k", {"pool": "5d41"}, [])
    'texts-words-10k-25b14f4b'
    """
    names = [stage.name for stage in reads]
    if not identity and not label and not any(map(_SET_APART.search, names)):
        return kind
    exact = canonical({"identity": identity, "reads": names})
    digest = hashlib.sha256(exact.encode()).hexdigest()[:8]
    return "-".join(part for part in (kind, label, digest) if part)


_SET_APART = re.compile(r"-[0-9a-f]{8}$")


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Each stage's name without its digest, for people; with it where two of them would be called alike.

    >>> short_names(["plan", "texts-words-10k-25b14f4b"])
    {'plan': 'plan', 'texts-words-10k-25b14f4b': 'texts-words-10k'}
    >>> short_names(["directions", "directions-25b14f4b"])
    {'directions': 'directions', 'directions-25b14f4b': 'directions-25b14f4b'}
    """
    short = {name: _SET_APART.sub("", name) for name in names}
    times = Counter(short.values())
    return {name: word if times[word] == 1 else name for name, word in short.items()}


def _by_name(value: Any) -> Any:
    if isinstance(value, Stage):
        return Named(value.name)
    if type(value) is tuple:
        return tuple(map(_by_name, value))
    if isinstance(value, Mapping):
        return {key: _by_name(item) for key, item in value.items()}
    return value
