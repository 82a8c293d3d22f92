"""Small picture files for the tests of collections, on a local disk or on S3."""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from clipneuron.store.objects.s3_client import s3_filesystem


class Place(Protocol):
    """Somewhere to put files for a collection."""

    url: str

    def put(self, name: str, data: bytes) -> None: ...

    def delete(self, name: str) -> None: ...


@dataclass
class Folder:
    """A local directory."""

    url: str

    def put(self, name: str, data: bytes) -> None:
        path = Path(self.url, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def delete(self, name: str) -> None:
        Path(self.url, name).unlink()


@dataclass
class Prefix:
    """A bucket and prefix on S3."""

    url: str

    def put(self, name: str, data: bytes) -> None:
        s3_filesystem().pipe_file(f"{self.url}/{name}", data)

    def delete(self, name: str) -> None:
        s3_filesystem().rm_file(f"{self.url}/{name}")


def png(number: int = 0) -> bytes:
    """The bytes of a small picture, different for each number."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(place: Place, *names: str) -> None:
    """Pictures under these names, the first is number 0."""
    for number, name in enumerate(names):
        place.put(name, png(number))


def write(root: Path, *names: str) -> None:
    """Pictures under these names in a directory, the first is number 0."""
    fill(Folder(str(root)), *names)


def rows(count: int, *, group: int = 3, start: int = 0, **columns: object) -> bytes:
    """A Parquet file with a column `image` and the given ones, in row groups of `group`."""
    buffer = io.BytesIO()
    table = pa.table({"image": [png(start + row) for row in range(count)], **columns})
    pq.write_table(table, buffer, row_group_size=group, write_page_checksum=True)
    return buffer.getvalue()


def write_rows(path: Path, count: int, **options: object) -> None:
    """The Parquet file of `rows` at a path."""
    Folder(str(path.parent)).put(path.name, rows(count, **options))


def tar(members: Iterable[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> bytes:
    """An uncompressed tar of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
