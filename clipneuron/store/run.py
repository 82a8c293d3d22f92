"""One run: shards are committed to it at most once, and read through their commits only.

    {run}/run.json                                          what the run is
    {run}/data/{stage}/{shard}/{table}-{attempt}.parquet    put by any number of attempts
    {run}/commits/{stage}/{shard}.json                      created by one of them: the commit
    {run}/attempts/{stage}/{shard}/{attempt}.json           attempts that began
    {run}/failures/{stage}/{shard}/{number}.json            attempts that ended in an error
    {run}/manifest/{stage}.parquet                          what the markers of a stage say, to read fast
    {run}/stages.json, stages/{stage}.json                  the work as drivers outlined it, for those who look on
    {run}/lease.json                                        who is at work on it
    {run}/results/{line}/{name}.json                        which stages hold the results of a line of work
    {run}/reports/                                          pictures and summaries, made again at will

An attempt first puts its objects under names that nobody else has, then creates the marker. Whoever comes
second changes nothing that a reader sees; whoever dies in between leaves objects that no marker names.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clipneuron.store import attempts, manifests, markers, outlines, parquet, progress, records
from clipneuron.store import stored_tables as stored
from clipneuron.store.errors import ObjectMissingError, StoreError
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.outlines import AnyResults, Outline, StageOrder
from clipneuron.store.progress import Progress
from clipneuron.store.records import Commit, FailedAttempt, Failure, RunRecord, Stored, Usage
from clipneuron.store.traffic import Lap, Traffic
from clipneuron.store.upkeep import garbage, verification
from clipneuron.store.upkeep.garbage import Garbage
from clipneuron.tables import registry as tables

if TYPE_CHECKING:  # it brings pandas along, 0.2 s that most commands are spared
    import pyarrow.dataset as ds


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
        usage: Usage | None = None,
        asked: Lap | None = None,
        attempt: str | None = None,
    ) -> Commit:
        """The shard's commit: this attempt's, or the one of the attempt that was there first.

        `usage` is what the attempt took until now, and `asked` what its process has asked for that is not in it.

        A shard that is done already costs one look, and nothing is written. Raises ValueError for a table
        that is not as declared, StoreError when the store can't be written.
        """
        if there := markers.find(self.objects, stage, shard):
            return there
        token = records.new_attempt()
        # The token keeps a reused name of an attempt from replacing bytes that are already committed.
        unique = token if attempt is None else f"{markers.checked_name('attempt', attempt)}-{token}"
        marker = markers.key(stage, shard)
        started = time.monotonic()
        objects = self._put(f"data/{stage}/{shard}", unique, tables)
        commit = Commit(
            stage=stage,
            shard=shard,
            attempt=attempt or token,
            objects=objects,
            failures=tuple(failures),
            timings=dict(timings or {}),
            usage=usage and _written(usage, time.monotonic() - started, asked),
            versions=dict(records.versions()),
            committed_at=records.now(),
            **records.host_info(),
        )
        created = self.objects.create(marker, records.dump(commit))
        return commit if created else markers.load(self.objects, Commit, marker)

    def committed(self, stage: str) -> dict[str, Commit]:
        """The commits of a stage by shard, in the order of their names; raises StoreError.

        Costs a listing, the manifest and a request per marker that it does not know.
        """
        found = manifests.committed(self.objects, stage)
        return {shard: commit for shard, (_, commit) in found.items()}

    def look(self, stage: str) -> tuple[dict[str, Commit], list[str]]:
        """The commits of a stage that can be read, as `committed` gives them, and what is wrong with the others."""
        seen = manifests.look(self.objects, stage)
        commits = {shard: commit for shard, (_, commit) in seen.commits.items()}
        return commits, [str(error) for error in seen.damaged.values()]

    def done(self, stage: str) -> set[str]:
        """The names of the committed shards, by a listing alone; raises StoreError."""
        return markers.done(self.objects, stage)

    def is_done(self, stage: str, shard: str) -> bool:
        """Whether the shard is committed; raises StoreError."""
        return self.objects.size(markers.key(stage, shard)) is not None

    def stages(self) -> list[str]:
        """The stages that have committed something."""
        return list(self.objects.folders(markers.FOLDER))

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
        parts = [stored.read(self.objects, entry, columns, filters) for entry in objects.values()]
        # Shards of an earlier version may lack a column that a later one has given the table: nulls, then.
        return pa.concat_tables(parts, promote_options="default")

    def scan(
        self, stage: str, table: str, *, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[str, pa.Table]]:
        """The committed rows of a table as (shard, rows), one shard in memory at a time.

        Raises as `read` does, once the first pair is asked for.
        """
        for shard, entry in self._objects_of(stage, table).items():
            yield shard, stored.read(self.objects, entry, columns)

    def dataset(self, stage: str, table: str) -> "ds.Dataset":
        """The committed rows of a table as an Arrow dataset, to query without reading it all.

        Of damage it notices what the checksums of pages cover; `read` compares the footer and the rows' number too.
        """
        import pyarrow.dataset as ds

        keys = [entry.key for entry in self._objects_of(stage, table).values()]
        filesystem = self.objects.filesystem()
        return ds.dataset(keys, filesystem=filesystem, format=parquet.checked_format())

    def schema_of(self, entry: Stored) -> pa.Schema:
        """The columns of one committed object; raises DamagedError, StoreError."""
        return stored.schema(self.objects, entry)

    def files(self, stage: str, table: str) -> list[str]:
        """The addresses of a table's committed Parquet files, for DuckDB, Polars or pandas."""
        entries = self._objects_of(stage, table).values()
        return [self.objects.location(entry.key) for entry in entries]

    def manifest(self, stage: str) -> pa.Table:
        """What a stage has committed, a row per object; made from its markers."""
        return manifests.table(manifests.committed(self.objects, stage).values())

    def write_manifest(self, stage: str) -> bool:
        """True if the stage's manifest was written, False if it was up to date; raises StoreError."""
        return manifests.write(self.objects, stage)

    def verify(
        self, stage: str | None = None, advance: Callable[[int], None] | None = None
    ) -> list[str]:
        """What is wrong with what a stage has committed, or with all of the run, in words; [] if nothing is.

        Reads every committed object whole and compares its size, sha256, rows and failed rows with its marker, and
        every record with its digest; `advance` is called with how many more objects have been looked at.
        """
        if stage is None:
            return verification.of_run(self.objects, advance).problems
        return verification.of_stage(self.objects, stage, advance).problems

    def garbage(self, older_than: float) -> list[Garbage]:
        """What no commit needs and is older than so many seconds by the store's clock; raises StoreError."""
        return garbage.find(self.objects, self.stages(), older_than)

    def remove(self, items: Iterable[Garbage]) -> int:
        """How many of these were removed; what a commit has come to need meanwhile stays.

        Only a shard that is not done can come to need one: let `older_than` exceed what an attempt takes.
        """
        return garbage.remove(self.objects, self.stages(), items)

    def started(self, stage: str, shard: str) -> str:
        """The name of a new attempt at the shard, which is now on record; raises StoreError."""
        return attempts.start(self.objects, stage, shard)

    def withdraw(self, stage: str, shard: str) -> None:
        """Take back that attempts at the shard began: they came to nothing through no fault of its own."""
        attempts.withdraw(self.objects, stage, shard)

    def in_flight(self, stage: str, within: float) -> list[str]:
        """Shards with an attempt on record that began in the last `within` seconds and has not ended."""
        return attempts.in_flight(self.objects, stage, within)

    def record_failure(self, stage: str, shard: str, error: BaseException) -> int:
        """How many attempts at the shard have now failed, this one included."""
        return attempts.fail(self.objects, stage, shard, error)

    def failures(self, stage: str) -> dict[str, list[FailedAttempt]]:
        """The failed attempts at each shard, the first one first; also of shards committed since."""
        return attempts.failed(self.objects, stage)

    def forget_failures(self, stage: str, shard: str) -> int:
        """How many failed attempts at the shard were on record; now there are none, so it may be retried."""
        return attempts.forget(self.objects, stage, shard)

    def announce(self, outline: Outline) -> bool:
        """True if the store did not have this outline of the work yet; raises StoreError."""
        return outlines.record(self.objects, outline)

    def announced(self) -> StageOrder | None:
        """The stages as they were last asked for, None if no driver has recorded them; raises StoreError."""
        return outlines.order(self.objects)

    def stage(self, kind: str) -> str:
        """The name of the last stage of a kind, such as "descriptions", in the order last asked for.

        Raises ValueError where there is none.
        """
        order = self.announced()
        known = dict(zip(order.kinds, order.stages, strict=True)) if order and order.kinds else {}
        if kind in known:
            return known[kind]
        there = ", ".join(known) or "none: give its own command once more, which records them"
        raise ValueError(f"run {self.name} has no stage of the kind {kind!r}; it has {there}")

    def results(self, kind: type[AnyResults]) -> list[AnyResults]:
        """Which stages hold the results of a line of work, the last recorded first; raises StoreError."""
        return outlines.results(self.objects, kind)

    def progress(self, stage: str, within: float) -> Progress:
        """How far a stage is, at the price of a few listings; attempts count as alive for `within` seconds."""
        return progress.look(self.objects, stage, within)

    def stages_with_failures(self) -> list[str]:
        """The stages that have failed attempts on record."""
        return list(self.objects.folders("failures/"))

    def put_file(self, name: str, data: bytes) -> str:
        """The address of a file under reports/ that now holds these bytes; it may be written again."""
        self.objects.put(f"reports/{name}", data)
        return self.objects.location(f"reports/{name}")

    def has_file(self, name: str) -> bool:
        """Whether there is a file of this name under reports/; raises StoreError."""
        return self.objects.size(f"reports/{name}") is not None

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
        names = sorted({*shards})
        keys = [markers.key(stage, shard) for shard in names]
        try:
            return dict(zip(names, markers.load_many(self.objects, Commit, keys), strict=True))
        except ObjectMissingError as error:
            raise StoreError(
                f"stage {stage!r} of run {self.name} has not committed every shard that was asked for "
                f"({error}): run it again to complete it"
            ) from error


def _written(usage: Usage, seconds: float, asked: Lap | None) -> Usage:
    """An attempt's usage once its objects are in the store, with the request for its marker."""
    usage = usage.model_copy(update={"write": seconds})
    return usage.with_traffic(asked.take(ahead=Traffic(writes=1))) if asked else usage
