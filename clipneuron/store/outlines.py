"""What a driver says about the work on a run: which stages there are, in which order, and how each is cut.

Derived and put again at will: nothing is decided by it. It lets others see how far a run is without its model,
its pictures or its cluster.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from clipneuron.store import records as commits
from clipneuron.store.errors import ObjectMissingError
from clipneuron.store.markers import checked_name
from clipneuron.store.objects.protocol import Objects

_Said = TypeVar("_Said", bound="_Announcement")
_ORDER = "stages.json"


class _Announcement(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Cut(_Announcement):
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


class Order(_Announcement):
    """stages.json: the stages of the run as it was last asked for, in their order."""

    stages: tuple[str, ...]
    details: dict[str, Any] = {}
    """How it was asked for."""


def say(objects: Objects, said: Cut | Order) -> bool:
    """True if it was put, False if the store has said the same before; raises StoreError."""
    key = _ORDER if isinstance(said, Order) else _key(said.stage)
    data = commits.dump(said)
    if objects.size(key) == len(data) and objects.get(key) == data:
        return False
    objects.put(key, data)
    return True


def order(objects: Objects) -> Order | None:
    """What was last said of the order, None if nothing was; raises StoreError."""
    return _find(objects, Order, _ORDER)


def cut(objects: Objects, stage: str) -> Cut | None:
    """What was last said of a stage, None if nothing was; raises StoreError."""
    return _find(objects, Cut, _key(stage))


def _find(objects: Objects, kind: type[_Said], key: str) -> _Said | None:
    try:
        return commits.load(kind, objects.get(key), objects.location(key))
    except ObjectMissingError:
        return None


def _key(stage: str) -> str:
    return f"stages/{checked_name('stage', stage)}.json"
