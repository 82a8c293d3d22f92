"""Rows of Parquet files: read a row group at a time, never a whole file."""

import errno
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clipneuron.data.collections import Picture
from clipneuron.data.files import Files, Span, Status
from clipneuron.data.trouble import Judge
from clipneuron.store.errors import ReadError

_CACHED_GROUPS = 2
_LARGE_GROUP = 256 * 2**20
_BATCH = 16
_SEAM = b"PAR1PAR1"
"""The end of one Parquet file and the beginning of another."""
_TAIL = 8
"""Bytes behind the footer: its length, and PAR1."""
_LONGEST_INDEX = 2**26


class RowFile(NamedTuple):
    """One version of a Parquet file, so that nothing stale is served from the cache."""

    files: Files
    source: str
    status: Status

    @contextmanager
    def opened(self, **options: Any) -> Iterator[pq.ParquetFile]:
        """The open file; raises OSError and pyarrow's errors."""
        raw = self.files.open(self.source, self.status.size)
        with raw, pq.ParquetFile(raw, page_checksum_verification=True, **options) as file:
            yield file


@dataclass(frozen=True)
class RowReader:
    """Reads pictures that are rows of Parquet files below a folder or prefix."""

    files: Files
    column: str

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read; each row group is read once."""
        judge = Judge(self.files)
        for source, members in groupby(pictures, key=lambda picture: picture.source):
            rows = [int(picture.offset or 0) for picture in members]
            yield from self._read_file(source, rows, judge)

    def _read_file(
        self, source: str, rows: Sequence[int], judge: Judge
    ) -> Iterator[bytes | ReadError]:
        try:
            file = RowFile(self.files, source, _status(self.files, source))
            starts = _starts(file)
        except (OSError, pa.ArrowException) as error:
            yield from (judge.verdict(error, source) for _ in rows)
            return
        for group, members in groupby(rows, key=lambda row: bisect_right(starts, row) - 1):
            within = [row - starts[group] for row in members]
            yield from self._read_group(file, group, within, judge)

    def _read_group(
        self, file: RowFile, group: int, rows: Sequence[int], judge: Judge
    ) -> Iterator[bytes | ReadError]:
        place = f"{file.source}, row group {group}"
        try:
            values = _values(file, self.column, group, rows)
        except (OSError, pa.ArrowException) as error:
            yield from (judge.verdict(error, place) for _ in rows)
            return
        for row in rows:
            yield values.get(row) or ReadError("empty", f"{place}, row {row} holds no bytes")


def leaf(table: pa.Table, column: str) -> pa.ChunkedArray:
    """The column of a table, also one inside a struct such as "image.bytes"."""
    if column in table.column_names:
        return table[column]
    outer, inner = column.rsplit(".", 1)
    return pc.struct_field(table[outer], inner)


def check_whole(file: RowFile, metadata: pq.FileMetaData) -> None:
    """Raises ValueError for Parquet files that were joined into one: only the last one's footer would be read.

    Its offsets count from its own beginning, so that the rows would even be those of the first file.
    """
    footer = file.status.size - _TAIL - metadata.serialized_size
    # An index, a Bloom filter or whatever precedes this file's own beginning.
    gap = footer - _end_of_data(metadata)
    if gap < _TAIL:
        return
    start = max(0, gap - _LONGEST_INDEX - len(_SEAM))
    before = file.files.read(Span(file.source, start, gap + len(_SEAM) - start))
    if (place := before.find(_SEAM)) >= 0:
        lost = start + place + len(_SEAM) // 2
        raise ValueError(
            f"{file.files.location(file.source)} is several Parquet files joined into one, of which only the last "
            "would "
            f"be read ({lost:,} bytes lie before it): keep them as files of their own"
        )


def _end_of_data(metadata: pq.FileMetaData) -> int:
    """The byte behind the last column chunk."""
    if not metadata.num_row_groups:
        return len(_SEAM) // 2
    group = metadata.row_group(metadata.num_row_groups - 1)
    chunks = [group.column(number) for number in range(group.num_columns)]
    return max((_start(chunk) + int(chunk.total_compressed_size) for chunk in chunks), default=0)


def _start(chunk: Any) -> int:
    """The first byte of a column chunk."""
    dictionary = chunk.dictionary_page_offset
    return int(min(chunk.data_page_offset, dictionary) if dictionary else chunk.data_page_offset)


def _status(files: Files, source: str) -> Status:
    found = files.status(source)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "the file is gone")
    return found


@lru_cache(maxsize=64)
def _starts(file: RowFile) -> tuple[int, ...]:
    """The first row of each row group."""
    with file.opened() as opened:
        metadata = opened.metadata
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return tuple(accumulate(counts[:-1], initial=0))


def _values(file: RowFile, column: str, group: int, rows: Sequence[int]) -> dict[int, bytes | None]:
    """The values of these rows of a row group; rows that it lacks are left out."""
    values = _group(file, column, group)
    if values is None:
        return _streamed(file, column, group, set(rows))
    return {row: values[row].as_py() for row in rows if row < len(values)}


@lru_cache(maxsize=_CACHED_GROUPS)
def _group(file: RowFile, column: str, group: int) -> pa.ChunkedArray | None:
    """A row group, cached for its other rows: shards are read in order and rarely end with a row group.

    None for one that is too large to hold.
    """
    with file.opened() as opened:
        if opened.metadata.row_group(group).total_byte_size > _LARGE_GROUP:
            return None
        return leaf(opened.read_row_group(group, columns=[column]), column)


def _streamed(file: RowFile, column: str, group: int, rows: set[int]) -> dict[int, bytes | None]:
    """The values of these rows of a row group that is too large to hold."""
    values: dict[int, bytes | None] = {}
    start = 0
    # pre_buffer would read the whole column of the row group in advance.
    with file.opened(pre_buffer=False, buffer_size=2**20) as opened:
        for batch in opened.iter_batches(_BATCH, row_groups=[group], columns=[column]):
            values_here = leaf(pa.Table.from_batches([batch]), column)
            here = rows.intersection(range(start, start + len(values_here)))
            values |= {row: values_here[row - start].as_py() for row in here}
            start += len(values_here)
            if len(values) == len(rows):
                break
    return values
