"""The store: runs side by side, each under the fingerprint of what changes its numbers."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clipneuron.store import records
from clipneuron.store.errors import ObjectMissingError, RunMismatchError, StoreError
from clipneuron.store.garbage import Garbage
from clipneuron.store.identity import canonical, differences, fingerprint
from clipneuron.store.markers import checked_name
from clipneuron.store.objects.opening import open_objects, probe
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.records import Commit, FailedAttempt, Failure, RunRecord, Stored
from clipneuron.store.run import Run

__all__ = [
    "Commit",
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

_RECORD = "run.json"
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
        return Run(self.objects.under(full), record)

    def runs(self) -> list[Run]:
        """Every run of the store, by name; raises StoreError."""
        found = {name: self._record(name) for name in self.objects.folders("")}
        return [Run(self.objects.under(name), record) for name, record in found.items() if record]

    def find_run(self, name_or_prefix: str) -> Run:
        """The one run of this name, or whose name starts with it; raises ValueError unless there is exactly one."""
        runs = {run.name: run for run in self.runs()}
        found = [name for name in runs if name.startswith(name_or_prefix)]
        if name_or_prefix in runs or len(found) == 1:
            return runs[name_or_prefix if name_or_prefix in runs else found[0]]
        if found:
            raise ValueError(
                f"{name_or_prefix!r} may be any of {', '.join(found)}: give more of its name"
            )
        there = f"there are {', '.join(runs)}" if runs else "there is none yet"
        raise ValueError(f"no run in {self.objects.url} starts with {name_or_prefix!r}; {there}")

    def _full_name(self, name: str, identity: Mapping[str, object]) -> str:
        if self._record(name):
            return name
        if _FULL_NAME.fullmatch(name):
            raise ValueError(
                f"there is no run {name} in {self.objects.url}: to start one, give its name without the "
                "fingerprint, which is computed from the configuration"
            )
        return f"{name}-{fingerprint(identity)}"

    def _record(self, name: str) -> RunRecord | None:
        objects = self.objects.under(name)
        try:
            data = objects.get(_RECORD)
        except ObjectMissingError:
            return None
        return records.load(RunRecord, data, objects.location(_RECORD))

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
        objects.create(_RECORD, records.dump(record))
        return records.load(RunRecord, objects.get(_RECORD), objects.location(_RECORD))
