"""Picture collections: folders, single pictures and Parquet files, opened by one function and cut into shards.

A picture that can't be read is no exception here but a ReadError with a status: `missing` (gone since it was
listed), `unreadable` (the system or the file's format says no) or `empty` (no bytes).
"""

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from clipneuron.storage import tables
from clipneuron.storage.errors import ReadError
from clipneuron.storage.image_folders import SUFFIXES, list_folder, open_file, open_folder
from clipneuron.storage.image_tables import Columns, open_tables
from clipneuron.storage.objects import local_path
from clipneuron.storage.pictures import Collection, Picture

__all__ = ["Collection", "Columns", "Picture", "ReadError", "open_collection", "plan"]

_EXPECTED = "a folder of pictures, one picture, a Parquet file or a folder of Parquet files"
_SHARD_DIGITS = 5


def open_collection(where: str | os.PathLike[str], *, columns: Columns | None = None) -> Collection:
    """The pictures at a path or a file:// URL; `columns` says how Parquet files name theirs.

    Raises ValueError that says what was found, what was expected and what to do.
    """
    path = local_path(where)
    if path.is_dir():
        return _open_directory(path, columns or Columns())
    if not path.is_file():
        raise ValueError(f"there is nothing at {path}: expected {_EXPECTED}; check the path")
    if path.suffix.lower() == ".parquet":
        return open_tables(path.parent, {path.name: path.stat().st_size}, columns or Columns())
    if path.suffix.lower() in SUFFIXES:
        return open_file(path)
    raise ValueError(
        f"{path} is neither a picture ({' '.join(sorted(SUFFIXES))}) nor .parquet: expected {_EXPECTED}"
    )


def plan(collection: Collection, shard_size: int, previous: pa.Table | None = None) -> pa.Table:
    """The table `plan`: each picture's number and shard, in shards of `shard_size` pictures.

    With the plan of a smaller `previous` collection, its pictures keep their number and shard, and the
    others follow in shards of their own. Raises ValueError when pictures of the previous plan are gone.
    """
    if shard_size < 1:
        raise ValueError(f"a shard holds at least one picture, not {shard_size}")
    if previous is None:
        return _with_shards(collection.listing, shard_size, 0, 0)
    return _extended(collection.listing, shard_size, previous)


def _open_directory(path: Path, columns: Columns) -> Collection:
    listing = list_folder(path)
    if listing.pictures:
        found = open_folder(path, listing)
        if not listing.tables:
            return found
        passed_over = {"Parquet files beside pictures": len(listing.tables)}
        return replace(found, skipped={**found.skipped, **passed_over})
    if listing.tables:
        return open_tables(path, listing.tables, columns)
    other = ", ".join(f"{count} {suffix}" for suffix, count in listing.others.most_common(5))
    passed = ", ".join(f"{count} {why}" for why, count in listing.skipped.items() if count)
    raise ValueError(
        f"there is no picture in {path} (found {other or 'nothing'}; passed over: {passed or 'nothing'}): "
        f"expected files ending in {' '.join(sorted(SUFFIXES))} or .parquet; check the path"
    )


def _with_shards(
    listing: pa.Table, shard_size: int, first_index: int, first_shard: int
) -> pa.Table:
    count = listing.num_rows
    last = first_shard + (count - 1) // shard_size
    if last >= 10**_SHARD_DIGITS:
        raise ValueError(f"{last + 1} shards are too many: take a shard_size above {shard_size}")
    numbers = pa.array(range(first_index, first_index + count), pa.int64())
    shards = [f"{first_shard + row // shard_size:0{_SHARD_DIGITS}d}" for row in range(count)]
    columns = {name: listing[name] for name in listing.column_names}
    columns |= {"index": numbers, "shard": pa.array(shards, pa.string())}
    return tables.conform("plan", pa.table(columns))


def _extended(listing: pa.Table, shard_size: int, previous: pa.Table) -> pa.Table:
    known = set(previous["image"].to_pylist())
    images = listing["image"].to_pylist()
    gone = known.difference(images)
    if gone:
        raise ValueError(
            f"{len(gone)} pictures of the previous plan are gone (one is {min(gone)!r}): a collection may "
            "grow but not shrink; put them back, or start without the previous plan"
        )
    added = listing.filter(pa.array([image not in known for image in images], pa.bool_()))
    first_index = 1 + max(previous["index"].to_pylist(), default=-1)
    first_shard = 1 + max(map(int, previous["shard"].to_pylist()), default=-1)
    return pa.concat_tables([previous, _with_shards(added, shard_size, first_index, first_shard)])
