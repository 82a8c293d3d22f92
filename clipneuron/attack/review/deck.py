"""The pictures of a review in the order in which one reviewer sees them; their pixels are read when they are shown."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.store.run import Run

_SCREENED = ("picture", "shows_c1", "shows_c2", "by")
_HELD = 256 * 2**20
"""Bytes of pictures that are kept in memory."""


@dataclass(frozen=True)
class ReviewKeys:
    """The stages whose tables are shown; `screening` is None where nothing makes suggestions."""

    pictures: str
    verdicts: str
    screening: str | None = None


class Card(NamedTuple):
    """What the reviewer sees of a picture: nothing of how its words were found.

    suggestion: keep, shows-c2 or lacks-c1, and by whom; both empty where there is none.
    """

    picture: str
    c1: str
    c2: str
    caption: str
    fooled: bool
    suggestion: str
    by: str


@dataclass(frozen=True)
class Deck:
    """Pictures that were painted and judged, those that fool the model first.

    left_out: pictures that were painted but have no verdict yet.
    """

    run: Run
    keys: ReviewKeys
    rows: pa.Table
    fooling: int
    left_out: int
    _pictures: "_Shards" = field(default_factory=lambda: _Shards(), repr=False, compare=False)

    @classmethod
    def of(cls, run: Run, keys: ReviewKeys, reviewer: str) -> "Deck":
        """Read the tables without pixels; every reviewer has an own order, which mixes pairs, methods and repeats.

        Raises StoreError where pictures or verdicts are not committed, ValueError where none can be shown.
        """
        painted = _scanned(run, keys.pictures, "pictures", ("pair", "caption"))
        judged = _scanned(run, keys.verdicts, "verdicts", ("fooled",))
        judged = judged.rename_columns({"shard": "verdict_shard"})
        rows = painted.join(judged, "picture", join_type="inner")
        if not rows.num_rows:
            raise ValueError(
                f"run {run.name} has no picture with a verdict: nothing can be reviewed yet"
            )
        if keys.screening and run.done(keys.screening):
            seen = run.read(keys.screening, "screening", columns=_SCREENED)
            rows = rows.join(seen, "picture", join_type="left outer")
        order = [_place(reviewer, picture) for picture in rows["picture"].to_pylist()]
        rows = rows.append_column("order", pa.array(order, pa.binary()))
        rows = rows.sort_by([("fooled", "descending"), ("order", "ascending")])
        fooling = pc.sum(rows["fooled"]).as_py()
        return cls(run, keys, rows.combine_chunks(), fooling, painted.num_rows - rows.num_rows)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def pictures(self) -> list[str]:
        """The ids, in the order of the deck."""
        found: list[str] = self.rows["picture"].to_pylist()
        return found

    def card(self, number: int) -> Card:
        """One picture as the reviewer sees it; raises ValueError for a number that is not in the deck."""
        row = self._row(number)
        c1, _, c2 = row["pair"].partition(":")
        suggestion = _suggestion(row.get("shows_c1"), row.get("shows_c2"))
        by = row.get("by") or "" if suggestion else ""
        return Card(row["picture"], c1, c2, row["caption"], row["fooled"], suggestion, by)

    def image(self, number: int) -> bytes:
        """The picture as it was painted; raises ValueError, StoreError."""
        row = self._row(number)
        return self._pictures.read(self.run, self.keys.pictures, row["shard"], row["picture"])

    def heatmap(self, number: int) -> NDArray[np.float32]:
        """The effect of every patch towards c2, row after row; empty where there is none; raises as `image`."""
        row = self._row(number)
        table = self.run.read(
            self.keys.verdicts,
            "verdicts",
            shards=[row["verdict_shard"]],
            columns=["heatmap"],
            filters=[("picture", "==", row["picture"])],
        )
        return np.asarray(table["heatmap"][0].as_py() or (), np.float32)

    def _row(self, number: int) -> dict[str, Any]:
        if not 0 <= number < len(self):
            raise ValueError(f"there is no picture {number}; there are 0 to {len(self) - 1}")
        row: dict[str, Any] = self.rows.slice(number, 1).to_pylist()[0]
        return row


class _Shards:
    """The pictures of the shards that were asked for last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, dict[str, bytes]] = {}

    def read(self, run: Run, stage: str, shard: str, picture: str) -> bytes:
        with self._lock:
            found = self._held.pop(shard, None) or _images(run, stage, shard)
            self._held[shard] = found
            while len(self._held) > 1 and self._size() > _HELD:
                del self._held[next(iter(self._held))]
        return found[picture]

    def _size(self) -> int:
        return sum(len(data) for images in self._held.values() for data in images.values())


def _images(run: Run, stage: str, shard: str) -> dict[str, bytes]:
    table = run.read(stage, "pictures", shards=[shard], columns=["picture", "image"])
    columns = (table[name].to_pylist() for name in table.column_names)
    return {picture: image for picture, image in zip(*columns, strict=True) if image}


def _scanned(run: Run, stage: str, table: str, columns: Sequence[str]) -> pa.Table:
    """The good rows of a table, each with the name of its shard."""
    parts = []
    for shard, rows in run.scan(stage, table, columns=["picture", *columns, "status"]):
        good = rows.filter(pc.field("status") == "ok").drop_columns(["status"])
        parts.append(good.append_column("shard", pa.repeat(shard, good.num_rows)))
    return pa.concat_tables(parts)


def _place(reviewer: str, picture: str) -> bytes:
    return hashlib.sha256(f"{reviewer}\n{picture}".encode()).digest()


def _suggestion(shows_c1: bool | None, shows_c2: bool | None) -> str:
    """What the screening comes to; it says "keep" only where it knows both."""
    if shows_c2:
        return "shows-c2"
    if shows_c1 is False:
        return "lacks-c1"
    return "keep" if shows_c1 and shows_c2 is False else ""
