"""What every collection of pictures is made of: a listing in memory, and a reader of the bytes."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

import pyarrow as pa

from clipneuron.storage import tables
from clipneuron.storage.errors import ReadError

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
    """Its row in a Parquet file, None for a file of its own."""


class Pictures(Sequence[Picture]):
    """Pictures made on demand from a listing, which takes a tenth of their memory."""

    def __init__(self, listing: pa.Table) -> None:
        self._listing = listing

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
            for row in batch.to_pylist():
                yield Picture(**row)


class Reader(Protocol):
    """Reads the bytes of pictures; small and picklable, without the listing."""

    def read_many(self, pictures: Sequence[Picture]) -> Iterator[bytes | ReadError]:
        """The bytes of each picture in turn, or why they can't be read."""
        ...


@dataclass(frozen=True, eq=False)
class Collection:
    """Pictures in a fixed order, with their classes where known; plain data, so it travels to workers."""

    listing: pa.Table
    """The columns of the table `plan`, without `shard`."""
    reader: Reader
    digest: str
    """sha256 over ids, order, sizes and labels; not over the place, and not over every byte."""
    label_names: Mapping[int, str]
    """Names of the classes by label, in the order of labels; empty where there are none."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """What was passed over while listing, and how often."""

    def __len__(self) -> int:
        return int(self.listing.num_rows)

    @property
    def pictures(self) -> Sequence[Picture]:
        """The pictures, in order."""
        return Pictures(self.listing)

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
    reader: Reader,
    sizes: Mapping[str, int],
    skipped: Mapping[str, int] | None = None,
) -> Collection:
    """The collection with these columns (image, label, label_name, source, offset), numbered from 0.

    `sizes` are the lengths in bytes of the sources. Raises ValueError when one label has two names.
    """
    count = len(columns["image"])
    fields = [field for field in tables.plan() if field.name != "shard"]
    everything = {"index": pa.array(range(count), pa.int64()), **columns}
    arrays = [_column(everything[field.name], field.type) for field in fields]
    listing = pa.Table.from_arrays(arrays, schema=pa.schema(fields)).combine_chunks()
    return Collection(
        listing, reader, _digest(listing, sizes), _names(listing), dict(skipped or {})
    )


def numbered(names: Iterable[str | None]) -> list[int | None]:
    """Each name's place among the sorted distinct names, None for no name.

    >>> numbered(["dog", "cat", None, "dog"])
    [1, 0, None, 1]
    """
    names = list(names)
    place = {
        name: number for number, name in enumerate(sorted({n for n in names if n is not None}))
    }
    return [None if name is None else place[name] for name in names]


def _column(values: Any, kind: pa.DataType) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    return pa.array(values, kind)


def _digest(listing: pa.Table, sizes: Mapping[str, int]) -> str:
    digest = hashlib.sha256()
    for picture in Pictures(listing):
        row = [
            picture.image,
            picture.label,
            picture.label_name,
            picture.offset,
            sizes[picture.source],
        ]
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()


def _names(listing: pa.Table) -> dict[int, str]:
    labelled = listing.select(["label", "label_name"]).drop_null()
    pairs = labelled.group_by(["label", "label_name"]).aggregate([])
    names: dict[int, str] = {}
    for pair in pairs.sort_by([("label", "ascending"), ("label_name", "ascending")]).to_pylist():
        label, name = pair["label"], pair["label_name"]
        if names.setdefault(label, name) != name:
            raise ValueError(
                f"label {label} is called both {names[label]!r} and {name!r}: give each class one name, or "
                "leave the names out (for Parquet: columns=Columns(name=()))"
            )
    return names
