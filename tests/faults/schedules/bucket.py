"""A bucket in memory: what S3 does with a request once it has arrived."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from botocore.exceptions import ClientError


class Held(NamedTuple):
    """An object."""

    data: bytes
    etag: str
    modified: float


class Moment(float):
    """A time as botocore's answers have it."""

    def timestamp(self) -> float:
        """Seconds since 1970; S3 counts whole ones."""
        return float(int(self))


Watch = Callable[[str, str, bytes | None, bytes | None], None]
"""Told what is changed: by whom, the key, the bytes before and after (None for no object)."""


@dataclass
class Bucket:
    """Objects by key, and how they came to be."""

    watch: Watch
    page: int = 1000
    """Keys that one answer to a listing has at most."""
    objects: dict[str, Held] = field(default_factory=dict)
    changes: list[tuple[float, str, Held | None]] = field(default_factory=list)

    def put(
        self, now: float, by: str, key: str, data: bytes, create: bool = False, match: str = ""
    ) -> dict[str, Any]:
        """PUT, with If-None-Match: * where it is to create, and If-Match where a version is to be replaced."""
        before = self.objects.get(key)
        if match and not before:
            raise refusal("NoSuchKey", 404, "PutObject")
        if (create and before) or (match and before and before.etag != match):
            raise refusal("PreconditionFailed", 412, "PutObject")
        self.watch(by, key, before and before.data, data)
        self._set(now, key, Held(data, f'"{hashlib.md5(data).hexdigest()}"', now))
        return {}

    def delete(self, now: float, by: str, key: str) -> dict[str, Any]:
        """DELETE, which is no error where nothing is."""
        if before := self.objects.get(key):
            self.watch(by, key, before.data, None)
            self._set(now, key, None)
        return {}

    def get(self, key: str) -> Held:
        """GET."""
        if key not in self.objects:
            raise refusal("NoSuchKey", 404, "GetObject")
        return self.objects[key]

    def head(self, key: str) -> dict[str, Any]:
        """HEAD, whose refusals have no body."""
        if key not in self.objects:
            raise refusal("404", 404, "HeadObject")
        held = self.objects[key]
        return {"ContentLength": len(held.data), "LastModified": Moment(held.modified)}

    def list(self, prefix: str, delimiter: str, after: str, at: float) -> dict[str, Any]:
        """A page of a listing as of some time: what follows the key `after`."""
        found = self._as_of(at)
        under = (key for key in found if key.startswith(prefix))
        shown = {_shown(key, prefix, delimiter) for key in under} if delimiter else under
        rest = sorted(name for name in shown if name > after)
        page, more = rest[: self.page], len(rest) > self.page
        keys = [name for name in page if not (delimiter and name.endswith(delimiter))]
        return {
            "Contents": [_listed(key, found[key]) for key in keys],
            "CommonPrefixes": [{"Prefix": name} for name in page if name not in found],
            "IsTruncated": more,
            "NextContinuationToken": page[-1] if more else "",
        }

    def _as_of(self, at: float) -> dict[str, Held]:
        if not self.changes or self.changes[-1][0] <= at:
            return self.objects
        found: dict[str, Held] = {}
        for time, key, held in self.changes:
            if time > at:
                break
            _assign(found, key, held)
        return found

    def _set(self, now: float, key: str, held: Held | None) -> None:
        self.changes.append((now, key, held))
        _assign(self.objects, key, held)


def refusal(code: str, status: int, operation: str) -> ClientError:
    """An answer of S3 that is an error."""
    error = {"Code": code, "Message": code}
    return ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)


def _assign(found: dict[str, Held], key: str, held: Held | None) -> None:
    if held is None:
        found.pop(key, None)
    else:
        found[key] = held


def _shown(key: str, prefix: str, delimiter: str) -> str:
    """The part of the key that a listing with a delimiter shows."""
    head, found, _ = key[len(prefix) :].partition(delimiter)
    return f"{prefix}{head}{found}"


def _listed(key: str, held: Held) -> dict[str, Any]:
    return {
        "Key": key,
        "ETag": held.etag,
        "Size": len(held.data),
        "LastModified": Moment(held.modified),
    }
