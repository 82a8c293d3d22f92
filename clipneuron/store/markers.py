"""Commit markers: where they are, what they contain, and what a listing alone shows of them."""

import re
from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel

from clipneuron.store import records
from clipneuron.store.errors import DamagedError, ObjectMissingError
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
    for found in load_each(objects, kind, names):
        if isinstance(found, DamagedError):
            raise found
        yield found


def load_each(
    objects: Objects, kind: type[_Record], names: list[str]
) -> Iterator[_Record | DamagedError]:
    """As `load_many`, with an error in place of each record that is damaged."""
    for name, data in zip(names, objects.get_many(names), strict=True):
        try:
            yield _read(objects, kind, name, data)
        except DamagedError as error:
            yield error


def _read(objects: Objects, kind: type[_Record], name: str, data: bytes) -> _Record:
    found = records.load(kind, data, objects.location(name))
    if isinstance(found, Commit) and name != key(found.stage, found.shard):
        other = f"it is the marker of {found.stage}/{found.shard}"
        raise records.damaged(objects.location(name), other)
    return found
