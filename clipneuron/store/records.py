"""What a run writes about itself as JSON: the run's record, commit markers and failed attempts.

Every record carries a digest of its other fields, so that one that was changed is told apart from one that was written.
"""

import hashlib
import json
import os
import platform
import socket
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError
from pydantic_core import to_json

from clipneuron.store.errors import DamagedError
from clipneuron.store.traffic import Traffic

_Model = TypeVar("_Model", bound=BaseModel)

RUN = "run.json"
"""The key of a run's own record."""
_DIGEST = "digest"


class _Record(BaseModel):
    # Unknown fields are ignored, so that a run written by a later version can still be read.
    model_config = ConfigDict(frozen=True, extra="ignore")


class RunRecord(_Record):
    """run.json: what the run is; written once."""

    name: str
    fingerprint: str
    identity: dict[str, Any]
    """Everything that changes the run's numbers."""
    details: dict[str, Any]
    """Useful to know, but without influence on the numbers: versions, host, the configuration as written."""
    created_at: str


@dataclass(frozen=True)
class Failure:
    """A picture (or another row) of a committed shard that could not be processed, and why."""

    image: str
    status: str
    reason: str


class Stored(_Record):
    """One object of a commit: a table's rows of one shard."""

    table: str
    key: str
    """Relative to the run."""
    size: int
    sha256: str
    footer: int
    """Length in bytes of the Parquet footer, which locates the columns."""
    footer_sha256: str
    rows: int


class Usage(_Record):
    """What the attempt that was committed took."""

    load: FiniteFloat = 0.0
    """Seconds of reading and decoding."""
    process: FiniteFloat = 0.0
    """Seconds of the work itself."""
    write: FiniteFloat = 0.0
    """Seconds until its objects were in the store."""
    core_seconds: FiniteFloat = 0.0
    """Cores times the seconds for which processes held them."""
    gpu_seconds: FiniteFloat = 0.0
    """GPUs times the seconds for which processes held them."""
    cpu_seconds: FiniteFloat = 0.0
    """Of these core-seconds, those in which a core worked, as the operating system counted them."""
    reads: int | None = None
    """Requests that read, looked at or listed something; None, as the next two, where they were not counted."""
    writes: int | None = None
    """Requests that wrote or deleted something, the marker's among them."""
    bytes_read: int | None = None
    """Of pictures and of tables."""
    cached: int | None = None
    """Pictures whose decoded pixels were found in a cache; None where nobody counted."""

    def with_traffic(self, more: Traffic) -> "Usage":
        """This and what processes have asked for besides."""
        told = Traffic(self.reads or 0, self.writes or 0, self.bytes_read or 0, self.cached or 0)
        told += more
        return self.model_copy(update=asdict(told))


class Commit(_Record):
    """commits/{stage}/{shard}.json: the shard is done, and these are its objects."""

    stage: str
    shard: str
    attempt: str
    objects: tuple[Stored, ...]
    failures: tuple[Failure, ...] = ()
    timings: dict[str, FiniteFloat] = {}
    usage: Usage | None = None
    """None in markers of versions that did not measure it."""
    host: str
    pid: int
    versions: dict[str, str]
    committed_at: str

    @property
    def seconds(self) -> float:
        """The timing called "total", or the sum of the timings where there is none."""
        return self.timings.get("total", sum(self.timings.values()))

    @property
    def size(self) -> int:
        """Bytes of its objects."""
        return sum(stored.size for stored in self.objects)

    def stored(self, table: str) -> Stored:
        """The object that holds a table; raises ValueError that names the tables there are."""
        for stored in self.objects:
            if stored.table == table:
                return stored
        names = ", ".join(stored.table for stored in self.objects) or "none"
        raise ValueError(f"stage {self.stage!r} wrote no table {table!r}; it wrote {names}")


class Attempt(_Record):
    """attempts/{stage}/{shard}/{attempt}.json: an attempt at a shard began here."""

    stage: str
    shard: str
    attempt: str
    host: str
    pid: int
    started_at: str


class FailedAttempt(_Record):
    """failures/{stage}/{shard}/{attempt}.json: an attempt at a whole shard that ended in an error."""

    stage: str
    shard: str
    attempt: int
    error: str
    traceback: str
    host: str
    pid: int
    failed_at: str


def new_attempt() -> str:
    """A name that no other attempt has."""
    return uuid.uuid4().hex[:16]


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def host_info() -> dict[str, Any]:
    """The host and process in which this runs."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


@cache
def versions() -> Mapping[str, str]:
    """The versions of what can change a stored number or byte."""
    found = {"python": platform.python_version()}
    for package in ("clipneuron", "numpy", "pyarrow", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def failed_attempt(stage: str, shard: str, attempt: int, error: BaseException) -> FailedAttempt:
    """The record of an attempt that ended in this error."""
    return FailedAttempt(
        stage=stage,
        shard=shard,
        attempt=attempt,
        error=f"{type(error).__name__}: {error}",
        traceback="".join(traceback.format_exception(error)),
        failed_at=now(),
        **host_info(),
    )


def dump(record: BaseModel) -> bytes:
    """The record as indented JSON with its digest, for programs and for people."""
    # File names may not be valid Unicode; a message about one must not prevent its own recording.
    text = json.dumps(record.model_dump(mode="json"), ensure_ascii=False).encode("utf-8", "replace")
    # json indents in Python, twenty times slower; a record is written for every attempt, commit and failure.
    return to_json(sealed(json.loads(text)), indent=1) + b"\n"


def sealed(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record with their digest."""
    return {**fields, _DIGEST: _digest(fields)}


def load(kind: type[_Model], data: bytes, location: str) -> _Model:
    """The record in these bytes; raises DamagedError that names the object and how to repair it."""
    try:
        found = kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise damaged(location, f"{place}: {first['msg']}" if place else first["msg"]) from error
    check_digest(data, location)
    return found


def is_sealed(record: bytes) -> bool:
    """Whether a record carries a digest, which those of older versions do not."""
    return _DIGEST in json.loads(record)


def check_digest(data: bytes, location: str) -> None:
    """Raises DamagedError for what is no record, or not the one that was written."""
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise damaged(location, f"it is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise damaged(location, "it is no JSON object")
    if _DIGEST in fields and fields.pop(_DIGEST) != _digest(fields):
        raise damaged(location, "it was changed after it was written: its digest is another one")


def damaged(location: str, why: str) -> DamagedError:
    """The error about a record that cannot be trusted."""
    return DamagedError(f"{location} is damaged ({why}): delete it and run the same command again")


def no_run_record(location: str) -> str:
    """What to say of a folder with commits that has no record of its run."""
    return f"{location} is missing: give the run's own command again, which writes it"


def _digest(fields: dict[str, Any]) -> str:
    """The sha256 of the fields as JSON with sorted keys and no space, all but ASCII escaped."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
