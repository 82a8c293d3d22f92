"""Attempts at shards: which began and which ended in an error; progress and retries are computed from them."""

from collections import Counter

from clipneuron.store import markers, records
from clipneuron.store.errors import DamagedError
from clipneuron.store.objects.protocol import Entry, Objects
from clipneuron.store.records import Attempt, FailedAttempt


def start(objects: Objects, stage: str, shard: str) -> str:
    """The name of a new attempt, which is now recorded; raises StoreError."""
    attempt = Attempt(
        stage=stage,
        shard=shard,
        attempt=records.new_attempt(),
        started_at=records.now(),
        **records.host_info(),
    )
    objects.put(f"{_folder('attempts', stage, shard)}{attempt.attempt}.json", records.dump(attempt))
    return attempt.attempt


def fail(objects: Objects, stage: str, shard: str, error: BaseException) -> int:
    """How many attempts at the shard have failed by now, including this one."""
    folder = _folder("failures", stage, shard)
    number = 1 + len(list(objects.list(folder)))
    while True:
        failed = records.failed_attempt(stage, shard, number, error)
        if objects.create(f"{folder}{number:04d}.json", records.dump(failed)):
            return number
        number += 1


def failed(objects: Objects, stage: str) -> dict[str, list[FailedAttempt]]:
    """The failed attempts at each shard, oldest first; one whose record is damaged counts all the same."""
    by_shard: dict[str, list[FailedAttempt]] = {}
    keys = list(objects.list(_folder("failures", stage)))
    for key, found in markers.load_listed(objects, FailedAttempt, keys):
        attempt = _unreadable(key, found) if isinstance(found, DamagedError) else found
        by_shard.setdefault(key.split("/")[2], []).append(attempt)
    return by_shard


def failed_counts(objects: Objects, stage: str) -> dict[str, int]:
    """How many attempts at each shard have failed, from a listing alone; raises StoreError."""
    return dict(Counter(key.split("/")[2] for key in objects.list(_folder("failures", stage))))


def forget(objects: Objects, stage: str, shard: str) -> int:
    """How many failed attempts at the shard were recorded; they are deleted."""
    return _delete(objects, _folder("failures", stage, shard))


def withdraw(objects: Objects, stage: str, shard: str) -> None:
    """Delete the records of attempts that began at the shard; raises StoreError."""
    _delete(objects, _folder("attempts", stage, shard))


def _delete(objects: Objects, folder: str) -> int:
    keys = list(objects.list(folder))
    for key in keys:
        objects.delete(key)
    return len(keys)


def in_flight(objects: Objects, stage: str, within: float) -> list[str]:
    """Shards with an attempt that began in the last `within` seconds and has not ended, sorted.

    From listings alone, by the store's clock; an attempt that was killed counts until that time has passed.
    """
    starts = list(objects.entries(_folder("attempts", stage)))
    if not starts:
        return []
    failures = list(objects.entries(_folder("failures", stage)))
    since = objects.present() - within
    begun, ended = _last(starts), _last(failures)
    open_shards = {
        shard
        for shard, last in begun.items()
        if last[0] >= since and last > ended.get(shard, (0.0, 0))
    }
    return sorted(open_shards - markers.done(objects, stage))


def _last(entries: list[Entry]) -> dict[str, tuple[float, int]]:
    """When each shard's last record was written, and how many there are, which breaks ties within a second."""
    counts = Counter(entry.key.split("/")[2] for entry in entries)
    times = dict.fromkeys(counts, 0.0)
    for entry in entries:
        shard = entry.key.split("/")[2]
        times[shard] = max(times[shard], entry.modified)
    return {shard: (time, counts[shard]) for shard, time in times.items()}


def _unreadable(key: str, error: DamagedError) -> FailedAttempt:
    _, stage, shard, number = key.removesuffix(".json").split("/")
    return FailedAttempt(
        stage=stage,
        shard=shard,
        attempt=int(number),
        error=f"unknown, since {error}",
        traceback="",
        host="",
        pid=0,
        failed_at="",
    )


def _folder(kind: str, stage: str, shard: str | None = None) -> str:
    folder = f"{kind}/{markers.checked_name('stage', stage)}/"
    return folder if shard is None else f"{folder}{markers.checked_name('shard', shard)}/"
