"""Outlines of the work on a run, recorded by drivers: its stages in order, how each is cut, and what holds its results.

Derived and put again at will: nothing is decided by them. They let others see how far a run is, and read its
results, without its model, its pictures or its cluster.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from clipneuron.store import records
from clipneuron.store.errors import DamagedError, ObjectMissingError
from clipneuron.store.markers import checked_name
from clipneuron.store.objects.protocol import Objects

_Outline = TypeVar("_Outline", bound="_Derived")
_ORDER = "stages.json"
logger = logging.getLogger(__name__)


class _Derived(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Cut(_Derived):
    """stages/{stage}.json: what a stage consists of."""

    stage: str
    unit: str
    """What rows count, such as images."""
    shards: int
    usual: int
    """Rows of a shard that is not among `others`."""
    others: dict[str, int] = {}
    attempts: int
    """Failed attempts that put a shard into quarantine."""

    @classmethod
    def of(cls, stage: str, unit: str, shards: Sequence[tuple[str, int]], attempts: int) -> "Cut":
        """The cut of a stage into shards, given by name and rows; few of them differ from the usual size."""
        sizes = Counter(rows for _, rows in shards)
        usual = sizes.most_common(1)[0][0] if sizes else 0
        others = {name: rows for name, rows in shards if rows != usual}
        return cls(
            stage=stage,
            unit=unit,
            shards=len(shards),
            usual=usual,
            others=others,
            attempts=attempts,
        )

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return self.usual * (self.shards - len(self.others)) + sum(self.others.values())

    def rows_of(self, shards: Iterable[str]) -> int:
        """Rows of these shards."""
        return sum(self.others.get(shard, self.usual) for shard in shards)


class StageOrder(_Derived):
    """stages.json: the stages of the run as it was last asked for, in their order."""

    stages: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    """Of each stage, what it does; none in runs that were begun before kinds were recorded."""
    details: dict[str, Any] = {}
    """How it was asked for."""


class Results(_Derived):
    """results/{line}/{name}.json: which stages hold the results of a line of work.

    Each line of work has its own fields for them, and for whatever else it takes to read its tables without the
    model and the pictures.
    """

    line: ClassVar[str]
    """Of work, such as attack."""
    page: ClassVar[str] = "report.md"
    """The file of the report that is written last."""
    name: str
    """Tells apart the results of one line in one run, which may be asked for in several ways."""

    @property
    def folder(self) -> str:
        """Of the report, among the run's files."""
        return f"{self.line}-{self.name}"


Outline = Cut | StageOrder | Results
AnyResults = TypeVar("AnyResults", bound=Results)


def record(objects: Objects, outline: Outline) -> bool:
    """True if it is new, False if the store has the same already; raises StoreError.

    Results that others came after are put again: those that were asked for last count as the last ones.
    """
    key, data = _key(outline), records.dump(outline)
    known = objects.size(key) == len(data) and objects.get(key) == data
    if not known or (isinstance(outline, Results) and _is_older(objects, key)):
        objects.put(key, data)
    return not known


def _is_older(objects: Objects, key: str) -> bool:
    """Whether other results of the same line were recorded later."""
    times = {entry.key: entry.modified for entry in objects.entries(f"{key.rpartition('/')[0]}/")}
    return max(times.values()) > times[key]


def order(objects: Objects) -> StageOrder | None:
    """The last order, None if there is none; raises StoreError."""
    return _find(objects, StageOrder, _ORDER)


def cut(objects: Objects, stage: str) -> Cut | None:
    """The last cut of a stage, None if there is none; raises StoreError."""
    return _find(objects, Cut, _cut_key(stage))


def results(objects: Objects, kind: type[AnyResults]) -> list[AnyResults]:
    """All results of a line of work that can be read, the last recorded first; raises StoreError."""
    entries = sorted(objects.entries(f"results/{kind.line}/"), key=lambda entry: -entry.modified)
    found = (_readable(objects, kind, entry.key) for entry in entries)
    return [item for item in found if item]


def _readable(objects: Objects, kind: type[AnyResults], key: str) -> AnyResults | None:
    """One set of results that is damaged does not hide the others."""
    try:
        return _find(objects, kind, key)
    except DamagedError as error:
        logger.warning("%s", error)
        return None


def _find(objects: Objects, kind: type[_Outline], key: str) -> _Outline | None:
    try:
        return records.load(kind, objects.get(key), objects.location(key))
    except ObjectMissingError:
        return None


def _key(outline: Outline) -> str:
    if isinstance(outline, StageOrder):
        return _ORDER
    if isinstance(outline, Results):
        line, name = checked_name("line", outline.line), checked_name("results", outline.name)
        return f"results/{line}/{name}.json"
    return _cut_key(outline.stage)


def _cut_key(stage: str) -> str:
    return f"stages/{checked_name('stage', stage)}.json"
