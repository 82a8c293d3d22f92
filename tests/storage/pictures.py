"""Small picture files for the tests of collections."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def png(number: int = 0) -> bytes:
    """The bytes of a small picture, different for each number."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def write(root: Path, *names: str) -> None:
    """Pictures under these names, the first is number 0."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))


def write_rows(
    path: Path, count: int, *, group: int = 3, start: int = 0, **columns: object
) -> None:
    """A Parquet file with a column `image` and the given ones, in row groups of `group`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": [png(start + row) for row in range(count)], **columns})
    pq.write_table(table, path, row_group_size=group, write_page_checksum=True)
