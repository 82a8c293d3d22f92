"""The files below a bucket and prefix on S3: listed a page at a time, read by range, many requests at once."""

import errno
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from botocore.exceptions import ClientError

from clipneuron.data.files import Span, Status, page
from clipneuron.data.passed_over.names import is_hidden, is_reserved
from clipneuron.store import traffic
from clipneuron.store.errors import PlaceError, StoreError
from clipneuron.store.objects import s3_errors
from clipneuron.store.objects.s3_client import endpoint, reconnect, s3_filesystem

_CONCURRENCY = 16
_WITNESSES = 8
"""Objects that are tried before a place counts as unreadable."""
_PAST_THE_END = {"416", "InvalidRange"}


@dataclass(frozen=True)
class S3Files:
    """The objects below s3://bucket/prefix; the connection is the process's own."""

    bucket: str
    prefix: str
    """Without slashes at its ends; empty for the whole bucket."""

    concurrency = _CONCURRENCY

    @property
    def url(self) -> str:
        """The address of the bucket and prefix."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def location(self, path: str) -> str:
        """The object's address."""
        return f"s3://{self.bucket}/{self._key(path)}"

    def pages(self, skipped: Counter[str]) -> Iterator[pa.Table]:
        """All objects that are not hidden, a page per request of up to 1000 keys.

        Raises ValueError for a bucket that does not exist, StoreError for one that can't be listed.
        """
        start = self._key("")
        asked: dict[str, Any] = {"Bucket": self.bucket, "Prefix": start}
        while True:
            answer = self._list(asked)
            found = [
                entry for entry in answer.get("Contents", ()) if _is_listed(entry, start, skipped)
            ]
            yield page(
                [entry["Key"][len(start) :] for entry in found],
                [entry["Size"] for entry in found],
                [entry["ETag"].strip('"') for entry in found],
            )
            if not answer.get("IsTruncated"):
                return
            asked["ContinuationToken"] = answer["NextContinuationToken"]

    def status(self, path: str) -> Status | None:
        """The object's length and etag, None if there is no such object; raises OSError."""
        traffic.read()
        try:
            found = s3_filesystem().call_s3("head_object", Bucket=self.bucket, Key=self._key(path))
        except FileNotFoundError:
            return None
        except s3_errors.TROUBLE as error:
            raise _as_os_error(error, self.location(path)) from error
        return Status(found["ContentLength"], found["ETag"].strip('"'), 0)

    def read(self, span: Span) -> bytes:
        """The bytes, by one request; raises OSError, a ConnectionError where the store is unavailable."""
        place = f"{self.bucket}/{self._key(span.path)}"
        try:
            if span.length is None and not span.start:
                # Concurrency 1: with more, s3fs asks for the length first, a request per picture.
                whole: bytes = s3_filesystem().cat_file(place, max_concurrency=1)
                traffic.read(len(whole))
                return whole
            end = None if span.length is None else span.start + span.length
            part: bytes = s3_filesystem().cat_file(place, start=span.start, end=end)
            traffic.read(len(part))
        except s3_errors.TROUBLE as error:
            if s3_errors.code(_origin(error)) in _PAST_THE_END:
                return b""
            raise _as_os_error(error, self.location(span.path)) from error
        return part

    def open(self, path: str, size: int) -> io.RawIOBase:
        """The object; each read is a request, so buffer it to read ahead."""
        return _Ranges(self, path, size)

    def look(self) -> None:
        """Raises PlaceError where the bucket can't be listed, or nothing of its first objects can be read."""
        trouble: OSError | None = None
        asked = {"Bucket": self.bucket, "Prefix": self._key(""), "MaxKeys": 10 * _WITNESSES}
        listed = self._list(asked, gone=PlaceError).get("Contents", ())
        for entry in [found for found in listed if found["Size"]][:_WITNESSES]:
            try:
                self.read(Span(entry["Key"][len(self._key("")) :], 0, 1))
                return
            except OSError as error:
                trouble = error
        raise PlaceError(
            trouble.strerror if trouble else f"there is nothing in {self.url} any more"
        )

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def _list(self, asked: dict[str, Any], gone: type[Exception] = ValueError) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = s3_filesystem().call_s3("list_objects_v2", **asked)
        except FileNotFoundError as error:
            raise gone(
                f"there is no bucket {self.bucket!r} for {self.url}: check the address and the endpoint"
            ) from error
        except s3_errors.TROUBLE as error:
            raise _explained(error, "list", self.url) from error
        return answer


class _Ranges(io.RawIOBase):
    """An object as a seekable file."""

    def __init__(self, files: S3Files, path: str, size: int) -> None:
        self._files, self._path, self._size, self._place = files, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._place)
        data = self._files.read(Span(self._path, self._place, length)) if length > 0 else b""
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def _is_listed(entry: dict[str, Any], start: str, skipped: Counter[str]) -> bool:
    path = entry["Key"][len(start) :]
    if is_hidden(path):
        skipped["hidden"] += 1
    elif is_reserved(path):
        skipped["reserved name"] += 1
    elif not path or path.endswith("/"):
        # The AWS console creates such objects for empty folders.
        skipped["not a file"] += 1
    else:
        return True
    return False


def _origin(error: BaseException) -> BaseException:
    """S3's own error, where s3fs has turned it into a plain one."""
    return error.__cause__ if isinstance(error.__cause__, ClientError) else error


def _as_os_error(error: BaseException, location: str) -> OSError:
    """The error as a reader of files expects it: missing, a ConnectionError for trouble of the place, or refused."""
    origin = _origin(error)
    if s3_errors.missing(origin) or (origin is error and isinstance(error, FileNotFoundError)):
        return FileNotFoundError(errno.ENOENT, "there is no such object", location)
    message = str(_explained(error, "read", location))
    kind = ConnectionError if s3_errors.of_the_place(origin) else OSError
    return kind(errno.EIO, message)


def _explained(error: BaseException, action: str, location: str) -> StoreError:
    """The error in words; the next request looks for credentials anew where these were refused."""
    origin = _origin(error)
    if s3_errors.refused(origin):
        reconnect()
    return s3_errors.explained(origin, action, location, endpoint())
