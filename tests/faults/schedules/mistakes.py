"""Mistakes that the store does not make, planted: the auditor has to find each of them.

Each takes the place of one function of the product for as long as a block lasts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pyarrow as pa

from clipneuron.store import leases, manifests, markers, records
from clipneuron.store import stored_tables as stored
from clipneuron.store.objects import s3_errors
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.objects.s3 import S3Objects
from clipneuron.store.records import Commit, Stored
from clipneuron.store.run import Run
from clipneuron.store.upkeep import garbage
from tests.faults.schedules.scheduler import current

_create, _look, _put = S3Objects.create, manifests._look, Run._put


class _Later:
    """Objects that are put when it is too late."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes]] = []

    def put(self, key: str, data: bytes) -> None:
        self.kept.append((key, data))


def commit_before_data(
    self: Run, stage: str, shard: str, tables: Mapping[str, pa.Table], **_: Any
) -> Commit:
    """The marker is created first, then the objects that it names."""
    if there := markers.find(self.objects, stage, shard):
        return there
    token, later = records.new_attempt(), _Later()
    objects = tuple(
        stored.put(later, f"data/{stage}/{shard}/{name}-{token}.parquet", name, table)  # type: ignore[arg-type]
        for name, table in tables.items()
    )
    commit = Commit(
        stage=stage,
        shard=shard,
        attempt=token,
        objects=objects,
        versions={},
        committed_at=records.now(),
        **records.host_info(),
    )
    if not self.objects.create(markers.key(stage, shard), records.dump(commit)):
        return markers.load(self.objects, Commit, markers.key(stage, shard))
    for key, data in later.kept:
        self.objects.put(key, data)
    return commit


def put_without_condition(self: S3Objects, key: str, data: bytes) -> bool:
    """A marker is put without If-None-Match, and replaces another attempt's."""
    if not key.startswith(markers.FOLDER):
        return _create(self, key, data)
    self.put(key, data)
    return True


def no_second_look(objects: Objects, _: Sequence[str], items: Iterable[garbage.Garbage]) -> int:
    """Vacuum removes what it has listed, though it may have been committed since."""
    return sum(garbage._remove(objects, item) for item in items)


def manifest_believed(objects: Objects, stage: str, stamps: dict[str, str]) -> manifests.Seen:
    """What the manifest says of a marker counts, though the marker may be another one by now."""
    known = {marker: stamp for marker, stamp, _ in manifests._recorded(objects, stage)}
    return _look(
        objects, stage, {marker: known.get(marker, stamp) for marker, stamp in stamps.items()}
    )


def counted_twice(self: S3Objects, key: str, data: bytes) -> bool:
    """A write that is repeated since its answer was lost takes its own failure record for another attempt's."""
    if not key.startswith("failures/"):
        return _create(self, key, data)
    request = {**self._place(key), "Body": data, "IfNoneMatch": "*"}
    try:
        self._ask("write", key, lambda client: client.put_object(**request), explain=False)
    except s3_errors.TROUBLE as error:
        if s3_errors.exists_already(error):
            return False
        raise self._explained(error, "write", key) from error
    return True


def one_name_for_all_attempts(
    self: Run, folder: str, _: str, named: Mapping[str, pa.Table]
) -> tuple[Stored, ...]:
    """Attempts put their objects under the same name, and so over what may be committed."""
    return _put(self, folder, "only", named)


def early_by_an_own_clock(_: Objects, lease: leases.Lease, modified: float) -> bool:
    """Whether a lease has expired is judged by the clock of who looks, not by the store's."""
    return not lease.returned and current().time <= modified + lease.seconds


def replaced_unseen(self: S3Objects, key: str, old: bytes, new: bytes) -> bool:
    """A lease is looked at and then put without If-Match, over a heartbeat that came in between."""
    if self.get(key) != old:
        return False
    self.put(key, new)
    return True


def same_beat_again(self: leases.Held, lease: leases.Lease) -> bool:
    """A heartbeat whose answer was lost is written again as it was: who saw it expire takes it for unchanged."""
    data = records.dump(lease)
    if not self.objects.replace(leases.KEY, self.data, data):
        there = leases._dated(self.objects)
        if there is None or there[1].holder != lease.holder:
            return False
        if not self.objects.replace(leases.KEY, there[0], data):
            return False
    self.lease, self.data = lease, data
    return True


MISTAKES: Mapping[str, tuple[Any, str, Callable[..., Any]]] = {
    "commit before data": (Run, "commit", commit_before_data),
    "put without If-None-Match": (S3Objects, "create", put_without_condition),
    "vacuum without its second look": (garbage, "remove", no_second_look),
    "manifest believed blindly": (manifests, "_look", manifest_believed),
    "attempt counted twice": (S3Objects, "create", counted_twice),
    "one name for all attempts": (Run, "_put", one_name_for_all_attempts),
    "lease taken over early": (leases, "_stands", early_by_an_own_clock),
    "lease replaced without If-Match": (S3Objects, "replace", replaced_unseen),
    "heartbeat written twice": (leases.Held, "_write", same_beat_again),
}


@contextmanager
def planted(mistake: str) -> Iterator[None]:
    """The block runs with a mistake; "" for none."""
    if not mistake:
        yield
        return
    place, name, wrong = MISTAKES[mistake]
    with patch.object(place, name, wrong):
        yield
