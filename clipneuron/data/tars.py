"""Pictures in tars, as WebDataset names them: listed from the tars' headers, read in place.

The members of a sample are adjacent and share a key, their path up to the first dot of the file name:
`a/000123.jpg` with `a/000123.cls` (the number of its class) or `a/000123.json` ({"label": ...}).

Listing costs a seek and two small reads per member on a local disk. On S3 it costs a request per MiB of the tar
or per picture, whichever is fewer, with 16 tars at a time: pictures below a MiB are read along, since the next
header lies in the same MiB; larger ones are skipped.
"""

import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.collections import Collection, collection
from clipneuron.data.files import Files, LocalFiles, is_text
from clipneuron.data.folders import FileReader
from clipneuron.data.labels import STATED, column_of_labels, in_blocks, stated, stated_in
from clipneuron.data.listing import SUFFIXES
from clipneuron.reports.quantities import counted
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.concurrency import in_order

_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")
_AHEAD = 2**20
_AHEAD_ON_DISK = 2**12
_SAMPLE = pa.schema(
    [
        ("key", pa.string()),
        ("image", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        *STATED,
    ]
)


def open_tars(files: Files, sources: pa.Table) -> Collection:
    """The collection of the pictures in these tars (a listing's page), tar after tar.

    A picture's id is its tar and its name there. A truncated tar keeps what it has; its last picture is a row
    that can't be read. Raises ValueError for tars that are damaged or contain no picture, for duplicate keys and
    for invalid labels.
    """
    entries = sources.to_pylist()
    skipped: Counter[str] = Counter()
    parts: list[pa.Table] = []
    for rows, passed in in_order(partial(_listed, files), entries, files.concurrency):
        parts.append(rows)
        skipped.update(passed)
    listing = pa.concat_tables(parts)
    if not listing.num_rows:
        counts = ", ".join(f"{count} {why}" for why, count in skipped.items())
        raise ValueError(
            f"there is no picture in the tars of {files.url} (skipped: {counts or 'nothing'}): "
            f"expected members ending in {' '.join(sorted(SUFFIXES))}"
        )
    labels = column_of_labels(listing, "tars")
    columns = {name: listing[name] for name in ("image", "source", "offset", "size", "etag")}
    return collection(columns, labels, FileReader(files), listing["size"], skipped)


@dataclass
class _Sample:
    """The members under one key."""

    key: str
    picture: tarfile.TarInfo | None = None
    number: int | None = None
    """The class as .cls has it."""
    described: dict[str, Any] = field(default_factory=lambda: stated(None, None, None))
    """The class as .json has it."""

    @property
    def label(self) -> dict[str, Any]:
        """The class; a number in .cls takes precedence over one in .json, which may name it."""
        if self.number is None:
            return self.described
        return stated(self.number, None, self.described["text"] or self.described["name"])


def _listed(files: Files, entry: dict[str, Any]) -> tuple[pa.Table, Counter[str]]:
    """The pictures of one tar, and what was skipped in it."""
    skipped: Counter[str] = Counter()
    source = entry["path"]
    with _opened(files, entry) as file:
        rows = in_blocks(_rows(_Tar(file, files.location(source), entry["size"], skipped)), _SAMPLE)
        table = pa.concat_tables([_SAMPLE.empty_table(), *rows])
    _check_keys(table["key"], files.location(source))
    count = table.num_rows
    skipped["tar without pictures"] += not count
    columns = {name: table[name] for name in table.column_names if name != "key"}
    columns["image"] = pc.binary_join_element_wise(source, table["image"], "/")
    columns["source"] = pa.repeat(pa.scalar(source), count)
    columns["etag"] = pa.repeat(pa.scalar(entry["etag"], pa.string()), count)
    return pa.table(columns), +skipped


@contextmanager
def _opened(files: Files, entry: dict[str, Any]) -> Iterator["io.BufferedReader[io.RawIOBase]"]:
    source = entry["path"]
    ahead = _AHEAD_ON_DISK if isinstance(files, LocalFiles) else _AHEAD
    try:
        with io.BufferedReader(files.open(source, entry["size"]), ahead) as file:
            yield file
    except OSError as error:
        raise StoreError(
            f"can't list the pictures of {files.location(source)}: {error.strerror}"
        ) from error


@dataclass(frozen=True)
class _Tar:
    file: "io.BufferedReader[io.RawIOBase]"
    place: str
    size: int
    skipped: Counter[str]

    def members(self) -> Iterator[tarfile.TarInfo]:
        """The members from their headers, up to the end or to where the tar is truncated."""
        try:
            with tarfile.open(fileobj=self.file, mode="r:") as tar:
                tar.offset = 0  # past the first member, which opening has read
                while (member := self._next(tar)) is not None:
                    yield member
        except tarfile.ReadError as error:
            raise ValueError(self._damaged(str(error))) from error

    def contents(self, member: tarfile.TarInfo) -> bytes | None:
        """The contents of a small member; None where the tar is truncated within it."""
        self.file.seek(member.offset_data)
        data = self.file.read(member.size)
        return data if len(data) == member.size else None

    def _next(self, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
        # Not tar.next(): it keeps a kilobyte per member, and mistakes a damaged header for the end.
        self.file.seek(tar.offset)
        try:
            return tarfile.TarInfo.fromtarfile(tar)
        except tarfile.HeaderError as error:
            reached = self.file.tell()
            self.file.seek(tar.offset)
            block = self.file.read(tarfile.BLOCKSIZE)
            if len(block) < tarfile.BLOCKSIZE or (any(block) and reached >= self.size):
                self.skipped["tar cut off"] += 1
            elif any(block):
                raise ValueError(self._damaged(f"byte {tar.offset}: {error}")) from error
            return None

    def _damaged(self, why: str) -> str:
        return (
            f"{self.place} is not a whole tar ({why}): expected a plain, uncompressed .tar; make it again, or "
            "leave it out"
        )


def _rows(tar: _Tar) -> Iterator[dict[str, Any]]:
    for sample in _samples(tar):
        if sample.picture is None:
            tar.skipped["sample without a picture"] += 1
            continue
        picture = sample.picture
        place = {"offset": picture.offset_data, "size": picture.size}
        yield {"key": sample.key, "image": picture.name, **place, **sample.label}


def _samples(tar: _Tar) -> Iterator[_Sample]:
    """Adjacent members of one key, taken together."""
    sample: _Sample | None = None
    for member in tar.members():
        found = _key_and_kind(member, tar.skipped)
        if found is None:
            continue
        key, kind = found
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key)
        _add(sample, kind, tar, member)
    if sample is not None:
        yield sample


def _key_and_kind(member: tarfile.TarInfo, skipped: Counter[str]) -> tuple[str, str] | None:
    """A member's key and what follows it; None for what is not part of a sample, which is counted."""
    if member.isdir():
        return None
    named = _NAME.fullmatch(member.name)
    if not member.isreg() or member.issparse():
        skipped["not a file"] += 1
    elif not is_text(member.name):
        skipped["name is not UTF-8"] += 1
    elif PurePosixPath(member.name).name.startswith("."):
        skipped["hidden"] += 1
    elif named is None:
        skipped["not a picture"] += 1
    else:
        return named[1], named[2].lower()
    return None


def _add(sample: _Sample, kind: str, tar: _Tar, member: tarfile.TarInfo) -> None:
    if PurePosixPath(f"x.{kind}").suffix in SUFFIXES:
        if sample.picture is not None:
            raise ValueError(
                f"{tar.place} has two pictures under the key {sample.key!r} ({sample.picture.name} and "
                f"{member.name}): expected one picture per sample; make the tar again"
            )
        sample.picture = member
    elif kind in ("cls", "json") and (data := tar.contents(member)) is not None:
        place = f"{tar.place}/{member.name}"
        if kind == "cls":
            sample.number = _number(data, place)
        else:
            sample.described = _from_json(data, place)


def _number(data: bytes, place: str) -> int:
    try:
        return int(data)
    except ValueError:
        raise ValueError(
            f"{place} holds {data[:20]!r}: expected the number of a class (names go to .json as "
            '{"label": "name"})'
        ) from None


def _from_json(data: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{place} is not JSON: {error}") from error
    return stated_in(record if isinstance(record, dict) else {}, place)


def _check_keys(keys: pa.ChunkedArray, place: str) -> None:
    counts = pc.value_counts(keys)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise ValueError(
            f"{place} has {counted(len(twice), 'keys')} in two places (one is {twice[0].as_py()!r}): the members of "
            "a sample stand together, under a key of their own; make the tar again"
        )
