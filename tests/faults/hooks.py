"""Steps of a stage that can be slowed, held or made deadly, in whatever process they are taken.

Needs no model's libraries: processes that only commit are spared the seconds of their import.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clipneuron.engine.stage import Loader, Output, Shard, Stage, Worker, decodes
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.store import Run

Hook = Callable[[str, str], None]
"""Called with a step and its shard: build (without a shard), load, process, marker (about to be made), committed."""


class HookedStage:
    """A stage whose steps are told to a hook, in the process that takes them."""

    def __init__(self, stage: Stage, hook: Hook) -> None:
        self.stage, self.hook = stage, hook
        self.kind, self.name = stage.kind, stage.name
        self.reads, self.writes = stage.reads, stage.writes
        self.unit, self.resources = stage.unit, stage.resources

    def shards(self, run: Run) -> Sequence[Shard]:
        return self.stage.shards(run)

    def loader(self, run: Run) -> "HookedLoader":
        return HookedLoader(self.stage.loader(run), self.hook)

    def share(self, run: Run) -> Any:
        return self.stage.share(run)

    def build(self, shared: Any) -> "HookedWorker":
        self.hook("build", "")
        return HookedWorker(self.stage.build(shared), self.hook)


@dataclass
class HookedLoader:
    loader: Loader
    hook: Hook

    @property
    def decodes(self) -> bool:
        return decodes(self.loader)

    def load(self, shard: Shard) -> tuple[str, Any]:
        self.hook("load", shard.name)
        return shard.name, self.loader.load(shard)


@dataclass
class HookedWorker:
    worker: Worker
    hook: Hook

    def process(self, loaded: tuple[str, Any], advance: Callable[[int], None]) -> Output:
        name, inside = loaded
        self.hook("process", name)
        return self.worker.process(inside, advance)


@dataclass(frozen=True)
class HookedObjects(LocalObjects):
    """A run's objects, where a commit is told right before and right after its marker appears."""

    hook: Hook

    def create(self, key: str, data: bytes) -> bool:
        if not key.startswith("commits/"):
            return super().create(key, data)
        shard = Path(key).stem
        self.hook("marker", shard)
        created = super().create(key, data)
        self.hook("committed", shard)
        return created


@dataclass(frozen=True)
class Slow:
    """Every step takes a while, with a file that names its process: {folder}/{step}/{pid}."""

    folder: Path
    seconds: float

    def __call__(self, step: str, shard: str) -> None:
        place = self.folder / step / str(os.getpid())
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        time.sleep(self.seconds)
        while step == "process" and self._held.exists():
            time.sleep(0.1)
        place.unlink()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """No shard is processed while the block runs, so that what the block waits for finds work left."""
        self._held.touch()
        try:
            yield
        finally:
            self._held.unlink()

    @property
    def _held(self) -> Path:
        return self.folder / "held"

    def busy(self, step: str) -> list[int]:
        """The processes in this step, those included that died in it."""
        folder = self.folder / step
        return sorted(int(path.name) for path in folder.iterdir()) if folder.exists() else []


@dataclass(frozen=True)
class Deadly:
    """A step at some shards ends its process without a word: the first time, or always."""

    folder: Path
    step: str
    shards: frozenset[str]
    always: bool = False

    def __call__(self, step: str, shard: str) -> None:
        if step == self.step and shard in self.shards and (not self.deaths(shard) or self.always):
            (self.folder / f"{shard}-died-{time.time_ns()}").touch()
            os._exit(1)

    def deaths(self, shard: str) -> int:
        return len(list(self.folder.glob(f"{shard}-died-*")))


@dataclass(frozen=True)
class Log:
    """Each step leaves a file."""

    folder: Path

    def __call__(self, step: str, shard: str) -> None:
        (self.folder / f"{step}-{shard}-{time.time_ns()}").touch()

    def count(self, step: str) -> int:
        return len(list(self.folder.glob(f"{step}-*")))


@dataclass(frozen=True)
class Imports:
    """Each step leaves a file that says whether its process has ever loaded torch: {step}-{shard}-{torch}."""

    folder: Path

    def __call__(self, step: str, shard: str) -> None:
        (self.folder / f"{step}-{shard or 'all'}-{'torch' in sys.modules}-{os.getpid()}").touch()

    def seen(self, step: str) -> set[str]:
        return {path.name.split("-")[2] for path in self.folder.glob(f"{step}-*")}

    def processes(self, step: str) -> set[str]:
        return {path.name.split("-")[3] for path in self.folder.glob(f"{step}-*")}


@dataclass(frozen=True)
class Held:
    """One step of one shard waits for a file, and says by another that it is there."""

    folder: Path
    step: str
    shard: str
    waiting: Path = field(init=False)
    released: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "waiting", self.folder / "waiting")
        object.__setattr__(self, "released", self.folder / "released")

    def __call__(self, step: str, shard: str) -> None:
        if (step, shard) == (self.step, self.shard):
            self.waiting.touch()
            wait_for(self.released.exists, "the held step to be let go")

    @contextmanager
    def holding(self) -> Iterator[None]:
        """The block runs while the step is held."""
        wait_for(self.waiting.exists, f"{self.step} of {self.shard}")
        try:
            yield
        finally:
            self.released.touch()


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 90.0) -> None:
    """Returns once the condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)


def hooked(run: Run, hook: Hook) -> Run:
    """The run with commits that are told to a hook."""
    assert isinstance(run.objects, LocalObjects)
    return replace(run, objects=HookedObjects(run.objects.root, hook))
