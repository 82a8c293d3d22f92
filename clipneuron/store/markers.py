"""Commit markers: where they are, what they contain, and what a listing alone shows of them."""

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pydantic import BaseModel

from clipneuron.store import records
from clipneuron.store.errors import DamagedError, ObjectMissingError
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.protocol import Objects
from clipneuron.store.records import Commit

FOLDER = "commits/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_Record = TypeVar("_Record", bound=BaseModel)


def checked_name(what: str, name: str) -> str:
    """The name, if it can be a part of a key; raises ValueError."""
    if _NAME.fullmatch(name):
        return name
    raise ValueError(
        f"the name of a {what} is made of letters, digits, '.', '_' and '-' and starts with a letter or "
        f"digit, unlike {name!r}"
    )


def folder(stage: str) -> str:
    """The prefix of a stage's markers; raises ValueError."""
    return f"{FOLDER}{checked_name('stage', stage)}/"


def key(stage: str, shard: str) -> str:
    """The key of a shard's marker; raises ValueError."""
    return f"{folder(stage)}{checked_name('shard', shard)}.json"


def done(objects: Objects, stage: str) -> set[str]:
    """The shards that have a marker, from a listing alone; raises StoreError."""
    start = len(folder(stage))
    return {name[start:].removesuffix(".json") for name in objects.list(folder(stage))}


def find(objects: Objects, stage: str, shard: str) -> Commit | None:
    """The shard's commit, None if there is none; raises StoreError."""
    try:
        return load(objects, Commit, key(stage, shard))
    except ObjectMissingError:
        return None


def load(objects: Objects, kind: type[_Record], name: str, data: bytes | None = None) -> _Record:
    """The record under this key, whose bytes may be at hand; raises ObjectMissingError, DamagedError, StoreError."""
    return _read(objects, kind, name, objects.get(name) if data is None else data)


def load_many(objects: Objects, kind: type[_Record], names: list[str]) -> Iterator[_Record]:
    """The records under these keys, in their order, fetched several at a time; raises as `load`."""
    for name, data in zip(names, objects.get_many(names), strict=True):
        yield _read(objects, kind, name, data)


def load_listed(
    objects: Objects, kind: type[_Record], names: Iterable[str]
) -> Iterator[tuple[str, _Record | DamagedError]]:
    """Key and record of what a listing showed and is still there; an error in place of each that is damaged."""
    for name, data in get_listed(objects, names):
        try:
            yield name, _read(objects, kind, name, data)
        except DamagedError as error:
            yield name, error


def get_listed(objects: Objects, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Key and bytes of what a listing showed and is still there.

    Records may go between a listing and a look: failures when a shard is to be tried again, markers when a damaged one
    is repaired. Whoever looked a moment later would not have seen them either.
    """

    def get(name: str) -> tuple[str, bytes] | None:
        try:
            return name, objects.get(name)
        except ObjectMissingError:
            return None

    yield from filter(None, in_order(get, names))


def _read(objects: Objects, kind: type[_Record], name: str, data: bytes) -> _Record:
    found = records.load(kind, data, objects.location(name))
    if isinstance(found, Commit) and name != key(found.stage, found.shard):
        other = f"it is the marker of {found.stage}/{found.shard}"
        raise records.damaged(objects.location(name), other)
    return found
