"""One run: shards are committed to it at most once, and read through their commits only.

    {run}/run.json                                          what the run is
    {run}/data/{stage}/{shard}/{table}-{attempt}.parquet    put by any number of attempts
    {run}/commits/{stage}/{shard}.json                      created by one of them: the commit
    {run}/failures/{stage}/{shard}/{number}.json            attempts that ended in an error
    {run}/reports/                                          pictures and summaries, made again at will

An attempt first puts its objects under names that nobody else has, then creates the marker. Whoever comes
second changes nothing that a reader sees; whoever dies in between leaves objects that no marker names.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds
from pydantic import BaseModel

from clipneuron.storage import commits, parquet, stored, tables
from clipneuron.storage.commits import Commit, FailedAttempt, Failure, RunRecord, Stored
from clipneuron.storage.errors import ObjectMissingError, StoreError
from clipneuron.storage.local import LocalObjects
from clipneuron.storage.objects import Objects

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_Record = TypeVar("_Record", bound=BaseModel)


@dataclass(frozen=True)
class Run:
    """A run in a store; plain data, so it travels to workers."""

    objects: Objects
    """The run's own objects: keys are relative to the run."""
    record: RunRecord

    @property
    def name(self) -> str:
        """What the run was called, and its fingerprint."""
        return self.record.name

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything that changes the run's numbers."""
        return self.record.identity

    @property
    def url(self) -> str:
        """Where the run is, for people."""
        return self.objects.url

    def commit(
        self,
        stage: str,
        shard: str,
        tables: Mapping[str, pa.Table],
        *,
        failures: Sequence[Failure] = (),
        timings: Mapping[str, float] | None = None,
        attempt: str | None = None,
    ) -> Commit:
        """The shard's commit: this attempt's, or the one of the attempt that was there first.

        Raises ValueError for a table that is not as declared, StoreError when the store can't be written.
        """
        token = commits.new_attempt()
        # The token keeps a reused name of an attempt from replacing bytes that are already committed.
        unique = token if attempt is None else f"{checked_name('attempt', attempt)}-{token}"
        marker = _marker(stage, shard)
        commit = Commit(
            stage=stage,
            shard=shard,
            attempt=attempt or token,
            objects=self._put(f"data/{stage}/{shard}", unique, tables),
            failures=tuple(failures),
            timings=dict(timings or {}),
            versions=dict(commits.versions()),
            committed_at=commits.now(),
            **commits.whereabouts(),
        )
        created = self.objects.create(marker, commits.dump(commit))
        return commit if created else self._load(Commit, marker)

    def committed(self, stage: str) -> dict[str, Commit]:
        """The commits of a stage by shard, in the order of their names; raises StoreError."""
        found = [self._load(Commit, key) for key in self._markers(stage)]
        return {commit.shard: commit for commit in sorted(found, key=lambda commit: commit.shard)}

    def stages(self) -> list[str]:
        """The stages that have committed something."""
        return list(self.objects.folders("commits/"))

    def read(
        self,
        stage: str,
        table: str,
        *,
        shards: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        filters: Any = None,
    ) -> pa.Table:
        """The committed rows of a table, shard after shard in the order of their names.

        `columns` and `filters` are pyarrow's, and little more than they need is read. Raises StoreError
        for a stage or shard without a commit and for a damaged object, ValueError for an unknown table
        or column.
        """
        objects = self._objects_of(stage, table, shards)
        return pa.concat_tables(
            [stored.read(self.objects, entry, columns, filters) for entry in objects.values()]
        )

    def scan(
        self, stage: str, table: str, *, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[str, pa.Table]]:
        """The committed rows of a table as (shard, rows), one shard in memory at a time.

        Raises as `read` does, once the first pair is asked for.
        """
        for shard, entry in self._objects_of(stage, table).items():
            yield shard, stored.read(self.objects, entry, columns)

    def dataset(self, stage: str, table: str) -> ds.Dataset:
        """The committed rows of a table as an Arrow dataset, to query without reading it all."""
        keys = [entry.key for entry in self._objects_of(stage, table).values()]
        filesystem = self.objects.filesystem()
        return ds.dataset(keys, filesystem=filesystem, format=parquet.checked_format())

    def files(self, stage: str, table: str) -> list[str]:
        """The addresses of a table's committed Parquet files, for DuckDB, Polars or pandas."""
        entries = self._objects_of(stage, table).values()
        return [self.objects.location(entry.key) for entry in entries]

    def manifest(self, stage: str) -> pa.Table:
        """What a stage has committed, a row per object; made from its markers."""
        rows = [
            entry.model_dump()
            | {"shard": commit.shard, "failed": len(commit.failures)}
            | {"seconds": commit.seconds, "attempt": commit.attempt}
            for commit in self.committed(stage).values()
            for entry in commit.objects
        ]
        return pa.Table.from_pylist(rows, schema=tables.schema("manifest"))

    def verify(self, stage: str | None = None) -> list[str]:
        """What is wrong with what a stage (by default each) has committed, in words; [] if nothing is.

        Reads every committed object whole and compares its size and sha256.
        """
        stages = self.stages() if stage is None else [stage]
        markers = [key for name in stages for key in self._markers(name)]
        return [problem for marker in markers for problem in self._problems(marker)]

    def record_failure(self, stage: str, shard: str, error: BaseException) -> int:
        """How many attempts at the shard have now failed, this one included."""
        folder = _failures(stage, shard)
        number = 1 + len(list(self.objects.list(folder)))
        while True:
            failed = commits.failed_attempt(stage, shard, number, error)
            if self.objects.create(f"{folder}{number:04d}.json", commits.dump(failed)):
                return number
            number += 1

    def failures(self, stage: str) -> dict[str, list[FailedAttempt]]:
        """The failed attempts at each shard, the first one first; also of shards committed since."""
        by_shard: dict[str, list[FailedAttempt]] = {}
        for key in self.objects.list(f"failures/{checked_name('stage', stage)}/"):
            failed = self._load(FailedAttempt, key)
            by_shard.setdefault(failed.shard, []).append(failed)
        return by_shard

    def forget_failures(self, stage: str, shard: str) -> int:
        """How many failed attempts at the shard were on record; now there are none, so it may be retried."""
        keys = list(self.objects.list(_failures(stage, shard)))
        for key in keys:
            self.objects.delete(key)
        return len(keys)

    def put_file(self, name: str, data: bytes) -> str:
        """The address of a file under reports/ that now holds these bytes; it may be written again."""
        self.objects.put(f"reports/{name}", data)
        return self.objects.location(f"reports/{name}")

    def path(self, name: str) -> Path | None:
        """The path of a file under reports/, None where the store is not a local directory."""
        if not isinstance(self.objects, LocalObjects):
            return None
        return Path(self.objects.location(f"reports/{name}"))

    def _put(self, folder: str, attempt: str, named: Mapping[str, pa.Table]) -> tuple[Stored, ...]:
        # All are checked before the first is written: a wrong table costs no space.
        checked = {name: tables.conform(name, table) for name, table in sorted(named.items())}
        return tuple(
            stored.put(self.objects, f"{folder}/{name}-{attempt}.parquet", name, table)
            for name, table in checked.items()
        )

    def _markers(self, stage: str) -> Iterator[str]:
        return self.objects.list(f"commits/{checked_name('stage', stage)}/")

    def _objects_of(
        self, stage: str, table: str, shards: Sequence[str] | None = None
    ) -> dict[str, Stored]:
        # A marker per shard: whoever asks for some shards does not pay for the markers of all.
        found = self.committed(stage) if shards is None else self._commits(stage, shards)
        if not found:
            raise StoreError(
                f"stage {stage!r} of run {self.name} has committed nothing yet: run it first"
            )
        return {shard: commit.stored(table) for shard, commit in found.items()}

    def _commits(self, stage: str, shards: Sequence[str]) -> dict[str, Commit]:
        try:
            return {shard: self._load(Commit, _marker(stage, shard)) for shard in sorted({*shards})}
        except ObjectMissingError as error:
            raise StoreError(
                f"stage {stage!r} of run {self.name} has not committed every shard that was asked for "
                f"({error}): run it again to complete it"
            ) from error

    def _problems(self, marker: str) -> list[str]:
        try:
            commit = self._load(Commit, marker)
        except StoreError as error:
            return [str(error)]
        found = [(entry.key, stored.wrong_bytes(self.objects, entry)) for entry in commit.objects]
        return [f"{self.objects.location(key)} {problem}" for key, problem in found if problem]

    def _load(self, kind: type[_Record], key: str) -> _Record:
        return commits.load(kind, self.objects.get(key), self.objects.location(key))


def checked_name(what: str, name: str) -> str:
    """The name, if it can be a part of a key; raises ValueError."""
    if _NAME.fullmatch(name):
        return name
    raise ValueError(
        f"the name of a {what} is made of letters, digits, '.', '_' and '-' and starts with a letter or "
        f"digit, unlike {name!r}"
    )


def _marker(stage: str, shard: str) -> str:
    return f"commits/{checked_name('stage', stage)}/{checked_name('shard', shard)}.json"


def _failures(stage: str, shard: str) -> str:
    return f"failures/{checked_name('stage', stage)}/{checked_name('shard', shard)}/"
