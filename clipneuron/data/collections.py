"""Collections of pictures, of every kind: a listing in memory, and a reader of the bytes."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.files import Files
from clipneuron.data.labels import Labels, label_names
from clipneuron.reports.quantities import counted
from clipneuron.store.errors import ReadError
from clipneuron.tables import registry as tables

COLUMNS = ("index", "image", "label", "label_name", "source", "offset", "size", "etag")
"""What is known about a picture before it is read: the columns of a listing."""

_DIGESTED = ["image", "label", "label_name", "offset"]
_BATCH = 4096


@dataclass(frozen=True)
class Picture:
    """One picture of a collection, without its bytes."""

    index: int
    """Its number in the collection."""
    image: str
    """Its id in the collection."""
    label: int | None
    label_name: str | None
    source: str
    """The file that holds it, relative to the collection."""
    offset: int | None
    """Its row in a Parquet file or its first byte in a tar, None for a file of its own."""
    size: int | None
    """Bytes when it was listed, None for a row of a Parquet file."""
    etag: str | None
    """S3's entity tag of the source when it was listed, None elsewhere."""


class Pictures(Sequence[Picture]):
    """Pictures made on demand from a listing or from rows of a plan, which take a tenth of the memory."""

    def __init__(self, listing: pa.Table) -> None:
        self._listing = listing.select(COLUMNS)

    def __len__(self) -> int:
        return int(self._listing.num_rows)

    @overload
    def __getitem__(self, item: int) -> Picture: ...
    @overload
    def __getitem__(self, item: slice) -> tuple[Picture, ...]: ...
    def __getitem__(self, item: int | slice) -> Picture | tuple[Picture, ...]:
        rows = range(len(self))[item]
        if isinstance(rows, range):
            return tuple(Pictures(self._listing.take(pa.array(rows, pa.int64()))))
        return next(iter(Pictures(self._listing.slice(rows, 1))))

    def __iter__(self) -> Iterator[Picture]:
        for batch in self._listing.to_batches(max_chunksize=_BATCH):
            columns = (column.to_pylist() for column in batch.columns)
            yield from map(Picture, *columns)


class Reader(Protocol):
    """Reads the bytes of pictures; small and picklable, without the listing."""

    @property
    def files(self) -> Files:
        """Where the pictures' sources lie."""
        ...

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read."""
        ...


@dataclass(frozen=True, eq=False)
class Collection:
    """Pictures in a fixed order, with their classes where known; plain data, so it travels to workers."""

    listing: pa.Table
    """The columns of the table `plan` that `COLUMNS` names."""
    reader: Reader
    digest: str
    """sha256 over ids, order, sizes and labels; not over the location or the contents."""
    by_name: bool
    """Whether classes were numbered here by their names, rather than stated as numbers."""
    label_names: Mapping[int, str]
    """Names of the classes by label, in the order of labels; empty where there are none."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """What was skipped while listing, and how often."""
    unlabelled: str = ""
    """Why no picture has a class, where none has and it takes a word."""

    def __len__(self) -> int:
        return int(self.listing.num_rows)

    @property
    def pictures(self) -> Sequence[Picture]:
        """The pictures, in order."""
        return Pictures(self.listing)

    @property
    def classes(self) -> str:
        """How many classes there are and how many pictures have none, in words."""
        labels = self.listing["label"]
        count = pc.count_distinct(labels, mode="only_valid").as_py()
        if not count:
            return "no classes"
        unknown = f" (unknown for {labels.null_count:,})" if labels.null_count else ""
        return f"{counted(count, 'classes')}{unknown}"

    def read(self, picture: Picture) -> bytes:
        """The picture's bytes; raises ReadError."""
        result = next(self.reader.read_many([picture]))
        if isinstance(result, ReadError):
            raise result
        return result

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read; neighbours are read together."""
        return self.reader.read_many(pictures)


def collection(
    columns: Mapping[str, Any],
    labels: Labels,
    reader: Reader,
    lengths: pa.ChunkedArray,
    skipped: Mapping[str, int] | None = None,
    *,
    choice: str = "",
    section: str = "recipe",
) -> Collection:
    """The collection with these columns (image, source, offset, size, etag), numbered from 0.

    `lengths` are the bytes that each picture, or the file that holds it, has; `choice` is what was chosen among
    several contents under the same ids. Raises ValueError, which names fields of the `section`, when one label has
    two names.
    """
    fields = [field for field in tables.schema("plan") if field.name in COLUMNS]
    everything = {"index": np.arange(len(columns["image"])), **labels._asdict(), **columns}
    arrays = [_column(everything[field.name], field.type) for field in fields]
    listing = pa.Table.from_arrays(arrays, schema=pa.schema(fields)).combine_chunks()
    return Collection(
        listing,
        reader,
        _digest(listing, lengths, choice),
        labels.by_name,
        label_names(listing, section),
        dict(skipped or {}),
        labels.why,
    )


def _column(values: Any, kind: pa.DataType) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    return pa.array(values, kind)


def _digest(listing: pa.Table, lengths: pa.ChunkedArray, choice: str) -> str:
    digest = hashlib.sha256(choice.encode())
    rows = listing.select(_DIGESTED).append_column("length", lengths)
    encode = json.JSONEncoder().encode
    for batch in rows.to_batches(max_chunksize=_BATCH):
        columns = (column.to_pylist() for column in batch.columns)
        lines = [encode(row) for row in zip(*columns, strict=True)]
        digest.update("".join(f"{line}\n" for line in lines).encode())
    return digest.hexdigest()
