"""The auditor: looks at every change of the bucket and at every reader's rows, and says what must not be."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from clipneuron.store import leases
from tests.faults.schedules.scheduler import Scheduler
from tests.faults.schedules.work import OPERATOR, expected, failed_try

RUN = "runs/"


@dataclass
class Auditor:
    """The invariants of a run, held against what happens.

    * At most one commit per shard: a marker is never written twice, and deleted by the operator alone.
    * Every committed object exists with its digest, from its commit on.
    * A failed attempt is counted once, and trouble of the store never.
    * No reader sees a row that is torn, of two attempts, or of none.
    * A lease is written again by its holder, or by another one after it was given back or has expired.
    * A finished run does no work and writes nothing.
    """

    scheduler: Scheduler
    problems: list[str] = field(default_factory=list)
    named: dict[str, dict[str, str]] = field(default_factory=dict)
    """Digests of the objects that a marker names, by key, by the marker's key."""
    objects: dict[str, bytes] = field(default_factory=dict)
    counted: dict[int, str] = field(default_factory=dict)
    """The record of each failed try."""
    repaired: float = 0.0
    """When a damaged shard was last given up or done again."""
    processed: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    met: Counter[str] = field(default_factory=Counter)
    """What happened that does not happen every day."""
    leased: float = 0.0
    """When the lease was last written."""

    def accuse(self, problem: str) -> None:
        """Something that must not be; the schedule ends here."""
        self.problems.append(problem)
        self.scheduler.stopped = True

    def watch(self, by: str, key: str, before: bytes | None, after: bytes | None) -> None:
        """A change of the bucket, about to happen."""
        self.writes += 1
        kind = key.removeprefix(RUN).partition("/")[2].partition("/")[0]
        if kind == "commits":
            self._marker(by, key, before, after)
        elif kind == "data":
            self._object(by, key, after)
        elif kind == "failures" and after is not None:
            self._failure(key, after)
        elif kind == "failures":
            self.met["forgotten"] += 1
        elif kind == leases.KEY:
            self._lease(by, before, after)
        if after is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = after

    def _marker(self, by: str, key: str, before: bytes | None, after: bytes | None) -> None:
        if after is None:
            self.met["repaired"] += 1
            if not by.startswith(OPERATOR):
                self.accuse(f"{by} deleted the marker {key}")
            self.named.pop(key, None)
            return
        if before is not None and before != after:
            self.accuse(f"{by} replaced the marker {key}: the shard has two commits")
        folder = key.partition("/commits/")[0]
        stored = json.loads(after)["objects"]
        self.named[key] = {f"{folder}/{one['key']}": one["sha256"] for one in stored}
        for name, digest in self.named[key].items():
            if name not in self.objects:
                self.accuse(f"{by} committed {key} before its object {name}")
            elif _digest(self.objects[name]) != digest:
                self.accuse(f"{by} committed {key} with another digest than that of {name}")

    def _object(self, by: str, key: str, after: bytes | None) -> None:
        if after is None and by == "last vacuum":
            self.met["left over"] += 1
        if by.startswith(OPERATOR):
            return  # the disk's fault, not the program's
        for marker, names in self.named.items():
            if key in names and (after is None or _digest(after) != names[key]):
                did = "deleted" if after is None else "replaced"
                self.accuse(f"{by} {did} {key}, which {marker} names")

    def _lease(self, by: str, before: bytes | None, after: bytes | None) -> None:
        if after is None:
            self.accuse(f"{by} deleted the lease")
            return
        now, age = json.loads(after), self.scheduler.now - self.leased
        was = json.loads(before) if before else now
        if was["holder"] == now["holder"]:
            if now["beats"] != was["beats"] + (before is not None):
                self.accuse(f"{by} wrote beat {now['beats']} of a lease after beat {was['beats']}")
        elif not was["returned"] and age < was["seconds"]:
            self.accuse(
                f"{by} took a lease of {was['seconds']:.0f} s over {age:.1f} s after its last beat"
            )
        elif not was["returned"]:
            self.met["expired"] += 1
        self.leased = self.scheduler.now

    def _failure(self, key: str, after: bytes) -> None:
        error = json.loads(after)["error"]
        number = failed_try(error)
        if number is None:
            self.accuse(f"{key} counts what was not the shard's fault: {error}")
        elif self.counted.setdefault(number, key) != key:
            self.accuse(f"try {number} is counted twice: {self.counted[number]} and {key}")

    def rows(self, by: str, shard: str, rows: pa.Table) -> None:
        """What a reader was given as the rows of a shard."""
        if not expected(shard, rows):
            self.accuse(f"{by} read torn rows of {shard}: {rows.to_pylist()}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
