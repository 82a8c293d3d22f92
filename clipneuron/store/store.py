"""The store: runs side by side, each under the fingerprint of what changes its numbers."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clipneuron.store import markers, records
from clipneuron.store.errors import DamagedError, ObjectMissingError, RunMismatchError, StoreError
from clipneuron.store.identity import canonical, differences, fingerprint
from clipneuron.store.markers import checked_name
from clipneuron.store.objects.local import begun
from clipneuron.store.objects.opening import open_objects, probe
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.records import Commit, FailedAttempt, Failure, RunRecord, Stored
from clipneuron.store.run import Run
from clipneuron.store.upkeep.garbage import Garbage

__all__ = [
    "Commit",
    "DamagedError",
    "DamagedRun",
    "FailedAttempt",
    "Failure",
    "Garbage",
    "ObjectMissingError",
    "Run",
    "RunMismatchError",
    "RunRecord",
    "Store",
    "StoreError",
    "Stored",
    "fingerprint",
]

_FULL_NAME = re.compile(r".+-[0-9a-f]{16}")


@dataclass(frozen=True, init=False)
class Store:
    """Runs at one place: a path, a file:// or an s3:// URL; a directory need not exist before the first run."""

    objects: Objects

    def __init__(self, url: str | os.PathLike[str] | Objects) -> None:
        opened = open_objects(url) if isinstance(url, str | os.PathLike) else url
        object.__setattr__(self, "objects", opened)

    def open_run(
        self, name: str, identity: Mapping[str, object], details: Mapping[str, Any] | None = None
    ) -> Run:
        """The run of this name and identity: a new one, or the one created when it was first opened.

        `name` is short ("demo": the run is demo-{fingerprint}) or the full name of an existing run.
        Raises RunMismatchError when the run there has another identity, StoreError when the store can't be
        trusted or written, ValueError for a name that can't be one.
        """
        full = self._full_name(checked_name("run", name), identity)
        record = self._record(full) or self._create(full, identity, details or {})
        if canonical(record.identity) != canonical(identity):
            raise RunMismatchError(full, differences(record.identity, identity))
        return Run(begun(self.objects.under(full)), record)

    def look(self, prefix: str = "") -> "list[Run | DamagedRun]":
        """Every run whose name starts so, by name, those with a damaged record too; raises StoreError."""
        names = [name for name in self.objects.folders("") if name.startswith(prefix)]
        return [run for run in map(self._look, names) if run]

    def runs(self) -> list[Run]:
        """Every run of the store, by name; raises DamagedError where the record of one is, StoreError."""
        return [_intact(run) for run in self.look()]

    def find(self, name_or_prefix: str) -> "Run | DamagedRun":
        """The one run of this name, or whose name starts with it; raises ValueError unless there is exactly one."""
        found = {run.name: run for run in self.look(name_or_prefix)}
        if name_or_prefix in found or len(found) == 1:
            return found[name_or_prefix if name_or_prefix in found else next(iter(found))]
        if found:
            raise ValueError(
                f"{name_or_prefix!r} may be any of {', '.join(found)}: give more of its name"
            )
        runs = [run.name for run in self.look()]
        there = f"there are {', '.join(runs)}" if runs else "there is none yet"
        raise ValueError(f"no run in {self.objects.url} starts with {name_or_prefix!r}; {there}")

    def find_run(self, name_or_prefix: str) -> Run:
        """As `find`; raises DamagedError as well where the run's record is damaged or missing."""
        return _intact(self.find(name_or_prefix))

    def _full_name(self, name: str, identity: Mapping[str, object]) -> str:
        if self._record(name):
            return name
        if _FULL_NAME.fullmatch(name):
            raise ValueError(
                f"there is no run {name} in {self.objects.url}: to start one, give its name without the "
                "fingerprint, which is computed from the configuration"
            )
        return f"{name}-{fingerprint(identity)}"

    def _look(self, name: str) -> "Run | DamagedRun | None":
        """None for a folder that is no run."""
        objects = self.objects.under(name)
        try:
            record = self._record(name)
        except DamagedError as error:
            return DamagedRun(name, objects, str(error))
        if record:
            return Run(begun(objects), record)
        if next(iter(objects.folders(markers.FOLDER)), None) is None:
            return None
        if record := self._record(name):  # it began between the two looks
            return Run(begun(objects), record)
        return DamagedRun(name, objects, records.no_run_record(objects.location(records.RUN)))

    def _record(self, name: str) -> RunRecord | None:
        try:
            return markers.load(self.objects.under(name), RunRecord, records.RUN)
        except ObjectMissingError:
            return None

    def _create(
        self, name: str, identity: Mapping[str, object], details: Mapping[str, Any]
    ) -> RunRecord:
        record = RunRecord(
            name=name,
            fingerprint=fingerprint(identity),
            identity=dict(identity),
            details=dict(details),
            created_at=records.now(),
        )
        objects = self.objects.under(name)
        probe(objects)
        # Another process may have created the same run in the meantime: the stored record counts.
        objects.create(records.RUN, records.dump(record))
        return markers.load(objects, RunRecord, records.RUN)


@dataclass(frozen=True)
class DamagedRun:
    """A run whose record cannot be read; what it has committed is as it was."""

    name: str
    """Of its folder."""
    objects: Objects
    """The run's own objects."""
    problem: str
    """What is wrong, and what to do."""


def _intact(run: Run | DamagedRun) -> Run:
    if isinstance(run, DamagedRun):
        raise DamagedError(run.problem)
    return run
