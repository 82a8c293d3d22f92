"""What a run has committed and recorded, read again and compared with what was written."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from clipneuron.store import manifests, markers, parquet, records
from clipneuron.store import stored_tables as stored
from clipneuron.store.errors import DamagedError, ObjectMissingError
from clipneuron.store.identity import fingerprint
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.outlines import Cut, Results, StageOrder
from clipneuron.store.records import Commit, FailedAttempt, Failure, RunRecord, Stored
from clipneuron.tables.registry import ACCOUNTED

_OBJECTS_AT_ONCE = 4
"""Objects are read whole, and may be large."""

_SMALL = {
    "stages.json": StageOrder,
    "stages/": Cut,
    "results/": Results,
    "failures/": FailedAttempt,
    "reviews/": None,
    "answers/": None,
}
"""Records beside the markers, by how their keys begin; None where only the digest tells whether one is intact."""

Advance = Callable[[int], None]


@dataclass
class Verification:
    """What was looked at, and what is wrong with it."""

    problems: list[str] = field(default_factory=list)
    """A sentence each."""
    commits: int = 0
    """Markers that were read."""
    without_digest: int = 0
    """Those of them that an older version wrote, whose own fields nothing protects."""


def of_run(objects: Objects, advance: Advance | None = None) -> Verification:
    """Everything in a run; `advance` is called with how many more objects of commits have been looked at."""
    found = Verification()
    found.problems += _record_problems(objects)
    for prefix in _SMALL:
        found.problems += _small_problems(objects, prefix)
    for stage in objects.folders(markers.FOLDER):
        _add_stage(found, objects, stage, advance)
    return found


def of_stage(objects: Objects, stage: str, advance: Advance | None = None) -> Verification:
    """What a stage has committed."""
    found = Verification()
    _add_stage(found, objects, stage, advance)
    return found


def _record_problems(objects: Objects) -> Iterator[str]:
    """run.json: its digest, and the fingerprint of its identity, which older ones have as well."""
    try:
        record = markers.load(objects, RunRecord, records.RUN)
    except ObjectMissingError:
        yield records.no_run_record(objects.location(records.RUN))
    except DamagedError as error:
        yield str(error)
    else:
        if fingerprint(record.identity) != record.fingerprint:
            why = "its identity has another fingerprint than its own"
            yield str(records.damaged(objects.location(records.RUN), why))


def _small_problems(objects: Objects, prefix: str) -> Iterator[str]:
    kind = _SMALL[prefix]
    for key, data in markers.get_listed(objects, objects.list(prefix)):
        where = objects.location(key)
        try:
            records.load(kind, data, where) if kind else records.check_digest(data, where)
        except DamagedError as error:
            yield str(error)


def _add_stage(found: Verification, objects: Objects, stage: str, advance: Advance | None) -> None:
    commits = []
    for marker, data in markers.get_listed(objects, objects.list(markers.folder(stage))):
        try:
            commit = markers.load(objects, Commit, marker, data)
        except DamagedError as error:
            problems = [str(error)]
        else:
            found.without_digest += not records.is_sealed(data)
            commits.append(commit)
            problems = list(_commit_problems(objects, marker, commit))
        found.problems += filter(None, problems)
        found.commits += 1
        if advance:
            advance(len(problems))
    found.problems += filter(None, [manifests.problem(objects, stage, commits)])


def _commit_problems(objects: Objects, marker: str, commit: Commit) -> Iterator[str]:
    """A sentence for each object that the marker names, "" for one that is as it says."""

    def problem(entry: Stored) -> str:
        wrong = _wrong(objects, entry, commit.failures)
        return wrong and f"{objects.location(entry.key)} {wrong}; {marker} names it"

    yield from in_order(problem, commit.objects, _OBJECTS_AT_ONCE)


def _wrong(objects: Objects, entry: Stored, failures: tuple[Failure, ...]) -> str:
    """What is wrong with an object, or with what the marker says of its rows; "" if nothing is."""
    data, wrong = stored.contents(objects, entry)
    if wrong:
        return wrong
    try:
        rows = parquet.rows(data)
        if rows != entry.rows:
            return f"has {rows:,} rows, not {entry.rows:,} as its marker says"
        return _wrong_failures(data, failures) if entry.table in ACCOUNTED else ""
    except (pa.ArrowException, OSError, ValueError) as error:
        return f"is no table: {error}"


def _wrong_failures(data: bytes, failures: tuple[Failure, ...]) -> str:
    said = Counter(failure.status for failure in failures)
    there = Counter(parquet.decode(data, ["status"])["status"].to_pylist())
    del there["ok"]
    if there == said:
        return ""
    return f"has failed rows {_counts(there)}, but its marker says {_counts(said)}"


def _counts(statuses: Counter[str]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in sorted(statuses.items())) or "none"
