"""The runs of a store beside each other: how old, how large, how complete; which of them later ones have replaced."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from clipneuron.config.overlap import BusyError
from clipneuron.engine.status import RunStatus, status_of
from clipneuron.operations.schedule.overlap import working_on
from clipneuron.store import leases
from clipneuron.store.errors import StoreError
from clipneuron.store.leases import Lease
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.protocol import Entry
from clipneuron.store.store import DamagedRun, Run, Store
from clipneuron.store.upkeep.removal import remove_run

_FINGERPRINT = re.compile(r"-[0-9a-f]{16}$")


@dataclass(frozen=True)
class RunLook:
    """A run as it is now."""

    run: Run | DamagedRun
    status: RunStatus
    size: int
    """Bytes of all its objects."""
    objects: int
    age: float
    """Seconds since it was last written to, by the store's clock."""
    lease: Lease | None
    """Who is at work on it."""

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.name

    @property
    def recipe(self) -> str:
        """The name of its recipe."""
        return _FINGERPRINT.sub("", self.name)

    @property
    def begun(self) -> datetime | None:
        """When it was begun, None where its record is damaged."""
        if isinstance(self.run, DamagedRun):
            return None
        return datetime.fromisoformat(self.run.record.created_at)

    @property
    def share(self) -> float | None:
        """The share of its shards that are done, None while the number of some stage is not known."""
        stages = self.status.stages
        if not stages or any(stage.shards is None for stage in stages):
            return None
        total = sum(stage.shards or 0 for stage in stages)
        return sum(stage.done for stage in stages) / total if total else None


def look(store: Store) -> list[RunLook]:
    """Every run of the store, the one last written to first; raises StoreError."""
    runs = store.look()
    present = store.objects.present() if runs else 0.0
    found = in_order(lambda run: _look(run, present), runs, concurrency=8)
    return sorted(found, key=lambda seen: (seen.age, seen.name))


def of_recipe(runs: Sequence[RunLook], name: str) -> list[RunLook]:
    """The runs of one recipe, by its name or the full name of one of its runs.

    Without a name, all of them where they are of one recipe. Raises ValueError where that leaves a choice, or none.
    """
    names = sorted({seen.recipe for seen in runs})
    asked = _FINGERPRINT.sub("", name) or (names[0] if len(names) == 1 else "")
    if asked not in names:
        there = ", ".join(names) or "none"
        problem = f"no run is of a recipe called {asked!r}" if asked else "runs of several recipes"
        raise ValueError(f"{problem}: give one by --run; there are {there}")
    return [seen for seen in runs if seen.recipe == asked]


def replaced(runs: Iterable[RunLook], keep: int) -> list[RunLook]:
    """The runs of one recipe that come after the `keep` complete ones last written to; damaged ones never do.

    What is not complete does not count as kept, so that a run which failed never replaces one that did not.
    """
    complete, found = 0, []
    for seen in runs:
        if complete < keep:
            complete += seen.status.complete
        elif not seen.status.damaged:
            found.append(seen)
    return found


def in_use(seen: RunLook, older_than: float) -> str:
    """Why a run must not be removed now, "" if it may be."""
    if seen.lease:
        return f"somebody is at work on it: {seen.lease.who}"
    return "it was written to lately" if seen.age < older_than else ""


def remove(seen: RunLook, command: str) -> int:
    """How many objects of the run were removed, with its lease held for the time.

    Raises BusyError where somebody has begun to work on it, StoreError.
    """
    if isinstance(seen.run, DamagedRun):
        raise StoreError(seen.run.problem)
    if _age(_entries(seen.run), seen.run.objects.present()) < seen.age - 1:
        raise BusyError(f"{seen.name} has been written to since it was looked at, and stays")
    with working_on(seen.run, "forbid", command, lambda _: None):
        return remove_run(seen.run.objects)


def _look(run: Run | DamagedRun, present: float) -> RunLook:
    entries = _entries(run)
    try:
        lease = leases.holder(run.objects)
    except StoreError:  # damaged: nobody can hold it
        lease = None
    return RunLook(
        run,
        status_of(run),
        sum(entry.size for entry in entries),
        len(entries),
        _age(entries, present),
        lease,
    )


def _entries(run: Run | DamagedRun) -> list[Entry]:
    """All but the lease, which is written to by those who find nothing to do as well."""
    return [entry for entry in run.objects.entries("") if entry.key != leases.KEY]


def _age(entries: Iterable[Entry], present: float) -> float:
    return max(0.0, present - max((entry.modified for entry in entries), default=present))
