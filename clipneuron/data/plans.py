"""The table `plan`: every picture's number and shard, fixed when it is first planned and kept forever."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.data.collections import Collection
from clipneuron.data.labels import label_names
from clipneuron.reports.quantities import counted
from clipneuron.tables import registry as tables

_SHARD_DIGITS = 8
_SHOWN = 3
_CLASS = ["label", "label_name"]
_PLACE = ("source", "offset", "size", "etag")


def plan(
    collection: Collection,
    shard_size: int,
    previous: pa.Table | None = None,
    retry: Set[str] = frozenset(),
) -> pa.Table:
    """The new rows of the table `plan`: all, or those that a collection has beyond its `previous` plan.

    The pictures of the previous plan (all of its parts) keep their number and shard, and classes keep their
    number by name. New pictures follow; before them come those to `retry`, under their old number: pictures
    that could not be used and have been fixed. Raises ValueError when planned pictures are gone, or when their
    bytes, location or class differ from the plan and they are not to be tried again.
    """
    if shard_size < 1:
        raise ValueError(f"a shard holds at least one picture, not {shard_size}")
    if previous is None or not previous.num_rows:
        _check_known(retry, retry, "not planned yet")
        return _with_shards(collection.listing, _Next(0, 0, 0), shard_size)
    rows, following = _new_rows(collection, latest(previous), previous, retry)
    return _with_shards(rows, following, shard_size)


def latest(planned: pa.Table) -> pa.Table:
    """A row per picture of a plan, in the order of their numbers: of one that was planned again, the last."""
    order = [("index", "ascending"), ("part", "descending")]
    ordered = planned.sort_by(order)
    index = ordered["index"].to_numpy()
    return ordered.filter(pa.array(np.diff(index, prepend=-1) > 0))


def to_retry(planned: pa.Table, failed: Mapping[str, Set[str]]) -> frozenset[tuple[str, str]]:
    """The pictures that failed when they were last tried, each with its shard at the time.

    `failed` has the pictures that could not be used, by shard.
    """
    last = latest(planned)
    pairs = zip(last["image"].to_pylist(), last["shard"].to_pylist(), strict=True)
    return frozenset((image, shard) for image, shard in pairs if image in failed.get(shard, ()))


def due(planned: pa.Table, retry: Set[tuple[str, str]]) -> frozenset[str]:
    """Those of the pictures to retry that have not been planned again since."""
    if not retry:
        return frozenset()
    last = latest(planned)
    places = dict(zip(last["image"].to_pylist(), last["shard"].to_pylist(), strict=True))
    return frozenset(image for image, shard in retry if places.get(image, shard) == shard)


@dataclass(frozen=True)
class _Next:
    """Where the next part of a plan begins."""

    part: int
    shard: int
    index: int


def _new_rows(
    collection: Collection, known: pa.Table, previous: pa.Table, retry: Set[str]
) -> tuple[pa.Table, _Next]:
    listing = collection.listing
    there = _beside(known, listing)
    _check_known(retry, set(retry).difference(known["image"].to_pylist()), "not in the plan")
    again = pc.is_in(known["image"], value_set=pa.array(sorted(retry), pa.string()))
    _check_unchanged(known, there, again)
    _check_classes(known, there, "label_name" if collection.by_name else "label")
    following = _Next(
        part=1 + pc.max(previous["part"]).as_py(),
        shard=1 + int(pc.max(previous["shard"]).as_py()),
        index=1 + pc.max(previous["index"]).as_py(),
    )
    added = listing.filter(pc.invert(pc.is_in(listing["image"], value_set=known["image"])))
    numbers = _numbers(following.index, added.num_rows)
    repeated = _with(there.filter(again), "index", known.filter(again)["index"])
    rows = pa.concat_tables([repeated, _with(added, "index", numbers)])
    return _kept_labels(rows, collection, known), following


def _with_shards(rows: pa.Table, following: _Next, shard_size: int) -> pa.Table:
    count = rows.num_rows
    last = following.shard + (count - 1) // shard_size
    if last >= 10**_SHARD_DIGITS:
        raise ValueError(f"{last + 1} shards are too many: take a shard_size above {shard_size}")
    shards = pa.array(following.shard + np.arange(count) // shard_size).cast(pa.string())
    columns = {name: rows[name] for name in rows.column_names}
    columns |= {
        "shard": pc.utf8_lpad(shards, _SHARD_DIGITS, "0"),
        "part": pa.repeat(pa.scalar(following.part, pa.int32()), count),
    }
    return tables.conform("plan", pa.table(columns))


def _numbers(first: int, count: int) -> pa.Array:
    return pa.array(np.arange(first, first + count, dtype=np.int64))


def _beside(known: pa.Table, listing: pa.Table) -> pa.Table:
    """The rows of the listing that are the known pictures, in their order; ValueError when some are gone."""
    places = pc.index_in(known["image"], value_set=listing["image"])
    if places.null_count:
        gone = known["image"].filter(places.is_null())
        raise ValueError(
            f"{counted(len(gone), 'pictures of the previous plan', 'are')} gone ({_some(gone)}): a collection may grow "
            "but not shrink; put them back, or start without the previous plan"
        )
    return listing.take(places)


def _check_unchanged(known: pa.Table, there: pa.Table, again: pa.ChunkedArray) -> None:
    changed = np.zeros(known.num_rows, bool)
    for column in _PLACE:
        changed |= _differs(known[column], there[column])
    changed &= ~again.to_numpy()
    if changed.any():
        names = known["image"].filter(pa.array(changed))
        raise ValueError(
            f"{counted(len(names), 'pictures', 'have')} changed since the plan ({_some(names)}): their numbers would "
            "be those of other pictures; put the old files back, try them again if they had failed, or start "
            "another run"
        )


def _check_classes(known: pa.Table, there: pa.Table, column: str) -> None:
    # A class that was unknown when the picture was planned may have become known.
    moved = _differs(known[column], there[column]) & known[column].is_valid().to_numpy()
    if moved.any():
        names = known["image"].filter(pa.array(moved))
        raise ValueError(
            f"{counted(len(names), 'pictures', 'have')} another class than planned ({_some(names)}): put them back "
            "where they were, or start another run"
        )


def _differs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> NDArray[np.bool_]:
    same = pc.fill_null(pc.equal(one, other), False)
    both_null = pc.and_(pc.is_null(one), pc.is_null(other))
    result: NDArray[np.bool_] = ~pc.or_(same, both_null).to_numpy()
    return result


def _kept_labels(rows: pa.Table, collection: Collection, known: pa.Table) -> pa.Table:
    """The rows, with classes that are numbered by name keeping their number, and new ones after them.

    Raises ValueError where a given number has another name than before.
    """
    if not collection.by_name:
        label_names(pa.concat_tables([table.select(_CLASS) for table in (known, rows)]))
        return rows
    before = label_names(known)
    added = [name for name in collection.label_names.values() if name not in before.values()]
    first = 1 + max(before, default=-1)
    numbers = pa.array([*before, *range(first, first + len(added))], pa.int32())
    names = pa.array([*before.values(), *added], pa.string())
    return _with(rows, "label", numbers.take(pc.index_in(rows["label_name"], value_set=names)))


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), values)


def _check_known(retry: Set[str], unknown: Set[str], why: str) -> None:
    if retry and unknown:
        raise ValueError(
            f"{counted(len(unknown), 'pictures to try again', 'are')} {why} ({_some(pa.array(sorted(unknown)))}): name "
            "pictures of this plan"
        )


def _some(names: pa.Array) -> str:
    shown = ", ".join(map(repr, sorted(names.to_pylist())[:_SHOWN]))
    return shown + (", ..." if len(names) > _SHOWN else "")
