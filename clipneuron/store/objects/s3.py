"""Objects in a bucket: whole objects by single PUTs (large ones in parts), created with If-None-Match.

Every operation is retried while the failure may be temporary, for CLIPNEURON_S3_RETRY_SECONDS seconds (20) and one
last time; then the error explains what was wrong. A marker is created by one small conditional PUT, the only
kind of conditional write that all S3 stores implement alike; a lease is replaced by another kind (If-Match), and
whether a store honours that is tried before the first time.
"""

import asyncio
import os
import random
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeVar

import pyarrow.fs as pafs
from fsspec.asyn import sync

from clipneuron.store import traffic
from clipneuron.store.errors import ObjectMissingError, StoreError
from clipneuron.store.objects import s3_errors, s3_uploads
from clipneuron.store.objects.concurrency import in_order
from clipneuron.store.objects.keys import content_type, parts
from clipneuron.store.objects.protocol import Dated, Entry
from clipneuron.store.objects.s3_client import (
    endpoint,
    reconnect,
    s3_filesystem,
    split_url,
)

_Answer = TypeVar("_Answer")
_Call = Callable[[Any], Awaitable[_Answer]]
_WHOLE = 2 * s3_uploads.PART
"""Bytes of the largest object that is sent whole."""
_LONGEST_PAUSE = 5.0
_COUNTED = {
    **dict.fromkeys(("read", "look at", "list"), traffic.read),
    **dict.fromkeys(("write", "delete"), traffic.wrote),
}
"""By what a request does, where it is counted."""


@dataclass(frozen=True)
class S3Objects:
    """Objects below a prefix of a bucket; plain data: each process has its own connection."""

    bucket: str
    prefix: str = ""
    """Without slashes at its ends; "" is the whole bucket."""

    @property
    def url(self) -> str:
        """s3://bucket/prefix."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def create(self, key: str, data: bytes) -> bool:
        """True if created, False if there already; raises StoreError.

        If the response to a write is lost, the repeated write meets its own object. A writer that finds
        exactly the bytes it meant to write is the one that created the object: no two attempts write the same.
        """
        request = {**self._place(key), "Body": data, "IfNoneMatch": "*"}
        try:
            self._ask("write", key, lambda client: client.put_object(**request), explain=False)
        except s3_errors.TROUBLE as error:
            if s3_errors.exists_already(error):
                return self.get(key) == data
            raise self._explained(error, "write", key) from error
        return True

    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces the whole object; raises StoreError."""
        place, kind = self._place(key), {"ContentType": content_type(key)}
        if len(data) > _WHOLE:
            self._ask("write", key, lambda client: s3_uploads.put_parts(client, place, data, kind))
        else:
            self._ask("write", key, lambda client: client.put_object(**place, **kind, Body=data))

    def get(self, key: str) -> bytes:
        """The object's bytes, as many as the store announced; raises ObjectMissingError, StoreError."""
        place = self._place(key)
        return self._ask("read", key, lambda client: _get(client, place)).data

    def dated(self, key: str) -> Dated:
        """The object's bytes and when they were written, in whole seconds; raises as `get`."""
        place = self._place(key)
        got = self._ask("read", key, lambda client: _get(client, place))
        return Dated(got.data, got.modified)

    def replace(self, key: str, old: bytes, new: bytes) -> bool:
        """True if the object was `old` and is `new` now, False otherwise; raises StoreError.

        If the response to a write is lost, the repeated write meets its own object, as in `create`.
        """
        check_replacing(self)
        place = self._place(key)
        try:
            there = self._ask("read", key, lambda client: _get(client, place))
            if there.data != old:
                return False
            self._put_if(key, there.tag, new)
        except ObjectMissingError:
            return False
        except s3_errors.TROUBLE as error:
            if s3_errors.exists_already(error) or s3_errors.missing(error):
                return self.size(key) == len(new) and self.get(key) == new
            raise self._explained(error, "write", key) from error
        return True

    def size(self, key: str) -> int | None:
        """The object's length in bytes, None if there is none; raises StoreError."""
        status = self._status(key)
        return None if status is None else int(status["ContentLength"])

    def get_many(self, keys: Iterable[str]) -> Iterator[bytes]:
        """The bytes of each object, in the order of the keys; raises as `get`."""
        return in_order(self.get, keys)

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that start with the prefix, in sorted order, a page at a time; raises StoreError."""
        yield from (entry.key for entry in self.entries(prefix))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Key, ETag, size and time of each object, sorted by key, a page at a time; raises StoreError."""
        for page in self._pages(prefix):
            for found in page.get("Contents", ()):
                modified = found["LastModified"].timestamp()
                yield Entry(self._key(found["Key"]), found["ETag"], found["Size"], modified)

    def leftovers(self) -> Iterator[Entry]:
        """The multipart uploads that were begun and never ended, in the order of their keys."""
        request = {"Bucket": self.bucket, "Prefix": self._full("")}
        for upload in self._ask("list", "", lambda client: s3_uploads.uploads(client, request)):
            key, name = self._key(upload["Key"]), upload["UploadId"]
            yield Entry(key, name, self._uploaded(key, name), upload["Initiated"].timestamp())

    def discard(self, leftover: Entry) -> None:
        """Aborts a multipart upload if it is there; raises StoreError."""
        request = self._place(leftover.key) | {"UploadId": leftover.stamp}
        self._ask("delete", leftover.key, lambda client: s3_uploads.abort(client, request))

    def present(self) -> float:
        """The time, in whole seconds, that the store gives an object which is written now."""
        key = f"probe-{uuid.uuid4().hex}"
        try:
            self.put(key, b"")
            return float((self._status(key) or {})["LastModified"].timestamp())
        finally:
            self.delete(key)

    def folders(self, prefix: str) -> Iterator[str]:
        """The names one level below the prefix, in sorted order; raises StoreError."""
        for page in self._pages(prefix, Delimiter="/"):
            for found in page.get("CommonPrefixes", ()):
                yield self._key(found["Prefix"]).removeprefix(prefix).rstrip("/")

    def delete(self, key: str) -> None:
        """Removes the object if it is there; raises StoreError."""
        place = self._place(key)
        self._ask("delete", key, lambda client: client.delete_object(**place))

    def under(self, folder: str) -> "S3Objects":
        """The objects below a folder."""
        return S3Objects(self.bucket, self._full("/".join(parts(folder))))

    def location(self, key: str) -> str:
        """s3://bucket/prefix/key."""
        return f"s3://{self.bucket}/{self._full(key)}"

    def filesystem(self) -> pafs.FileSystem:
        """The prefix as an Arrow file system over the same connection."""
        whole = pafs.PyFileSystem(pafs.FSSpecHandler(s3_filesystem()))
        return pafs.SubTreeFileSystem(self.url.removeprefix("s3://"), whole)

    def check(self) -> None:
        """Raises StoreError if the bucket is not there, or can't be listed with these credentials."""
        request = {"Bucket": self.bucket, "Prefix": self._full(""), "MaxKeys": 1}
        self._ask("list", "", lambda client: client.list_objects_v2(**request))

    def _put_if(self, key: str, tag: str, data: bytes) -> None:
        """Replaces the version of this ETag; raises S3's own error where there is another one, or none."""
        request = {**self._place(key), "Body": data, "IfMatch": tag}
        self._ask("write", key, lambda client: client.put_object(**request), explain=False)

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _key(self, full: str) -> str:
        return full.removeprefix(self._full(""))

    def _place(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": self._full("/".join(parts(key)))}

    def _status(self, key: str) -> dict[str, Any] | None:
        place = self._place(key)
        try:
            status: dict[str, Any] = self._ask(
                "look at", key, lambda client: client.head_object(**place), explain=False
            )
        except s3_errors.TROUBLE as error:
            if s3_errors.missing(error):
                return None
            raise self._explained(error, "look at", key) from error
        return status

    def _pages(self, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        request = {"Bucket": self.bucket, "Prefix": self._full(prefix), **options}
        while True:
            page = self._ask("list", prefix, lambda client: client.list_objects_v2(**request))
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _uploaded(self, key: str, upload: str) -> int:
        """Bytes that an unfinished upload holds (of its first thousand parts)."""
        request = self._place(key) | {"UploadId": upload}
        return self._ask("list", key, lambda client: s3_uploads.uploaded(client, request))

    def _ask(self, action: str, key: str, call: _Call[_Answer], *, explain: bool = True) -> _Answer:
        filesystem = s3_filesystem()
        _COUNTED[action]()
        try:
            answer: _Answer = sync(filesystem.loop, _retried, filesystem, call)
        except s3_errors.TROUBLE as error:
            if s3_errors.refused(error):
                reconnect()
            if not explain:
                raise
            raise self._explained(error, action, key) from error
        return answer

    def _explained(self, error: BaseException, action: str, key: str) -> StoreError:
        return s3_errors.explained(error, action, self.location(key), endpoint())


def open_s3(url: str) -> S3Objects:
    """The objects at s3://bucket/prefix.

    Raises ValueError for a URL of another shape, StoreError for a bucket that is not there or not ours.
    """
    objects = S3Objects(*split_url(url))
    objects.check()
    return objects


@cache
def check_replacing(objects: S3Objects) -> None:
    """Raises StoreError for a store that replaces objects whatever their version; asked once per place and process."""
    key = f"probe-{uuid.uuid4().hex}"
    try:
        objects._put_if(key, f'"{uuid.uuid4().hex}"', b"")
    except s3_errors.TROUBLE as error:
        if s3_errors.exists_already(error) or s3_errors.missing(error):
            return
        raise objects._explained(error, "write", key) from error
    objects.delete(key)
    raise StoreError(
        f"{objects.url} does not honour conditional replacement (If-Match), so two commands could both hold a run's "
        "lease: work with --overlap allow there"
    )


def _retry_seconds() -> float:
    return float(os.environ.get("CLIPNEURON_S3_RETRY_SECONDS", 20))


async def _retried(filesystem: Any, call: _Call[_Answer]) -> _Answer:
    """The answer; temporary failures are retried until the retry policy's time is over."""
    client = await _client(filesystem)
    clock = asyncio.get_running_loop().time
    deadline, pause = clock() + _retry_seconds(), 0.2
    while True:
        try:
            return await call(client)
        except s3_errors.TROUBLE as error:
            if not s3_errors.passing(error) or clock() + pause > deadline:
                raise
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _client(filesystem: Any) -> Any:
    try:
        return await filesystem.set_session()
    except ValueError as error:  # an invalid address
        raise OSError(str(error)) from error


class _Got(NamedTuple):
    data: bytes
    modified: float
    tag: str


async def _get(client: Any, place: dict[str, Any]) -> _Got:
    answer = await client.get_object(**place)
    async with answer["Body"] as body:
        data: bytes = await body.read()
    traffic.read(len(data), requests=0)
    if len(data) != answer["ContentLength"]:
        raise ConnectionError(f"{len(data)} of {answer['ContentLength']} bytes arrived")
    return _Got(data, answer["LastModified"].timestamp(), answer["ETag"])
