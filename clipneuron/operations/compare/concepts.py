"""What pictures show by their first concepts, where both runs have named concepts in the same pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.operations.compare.arrays import lists, mean
from clipneuron.operations.compare.pictures import shared_share
from clipneuron.operations.compare.sides import Floats, Ints, Side
from clipneuron.store.store import Run
from clipneuron.tables.concepts import JUDGED

_COLUMNS = ("image", "status", "method", "rank", "concept")


@dataclass(frozen=True)
class ConceptChanges:
    """The first concepts of every picture in both runs, as one method names them."""

    method: str
    pictures: pa.Array
    """The ids of the pictures that both runs have, in alphabetical order."""
    texts: pa.Array
    a: Ints
    """Numbers of texts [picture, rank], -1 where there are fewer."""
    b: Ints
    shared: Floats
    """Share of each picture's concepts that both have, of the shorter list; NaN without any."""

    @property
    def mean_shared(self) -> float:
        """Over all pictures."""
        return mean(self.shared)

    @property
    def first_changed(self) -> float:
        """Share of the pictures whose first concept is another."""
        return mean(self.a[:, 0] != self.b[:, 0])

    def most_changed(self, count: int) -> list[dict[str, Any]]:
        """So many pictures as plain data, those with the least in common first; none that has all."""
        shared = np.nan_to_num(self.shared, nan=1.0)
        order = np.argsort(shared, kind="stable")[:count]
        return [self._picture(row) for row in order.tolist() if shared[row] < 1]

    def table(self) -> pa.Table:
        """A row per picture, in the order of `pictures`."""
        columns = {
            "image": self.pictures,
            "shared": self.shared,
            "concepts_a": self._lists(self.a),
            "concepts_b": self._lists(self.b),
        }
        return pa.table(columns)

    def as_json(self, count: int) -> dict[str, Any]:
        """The figures and so many of the most changed pictures, as plain data."""
        return {
            "method": self.method,
            "pictures": len(self.pictures),
            "mean_shared": self.mean_shared,
            "first_changed": self.first_changed,
            "most_changed": self.most_changed(count),
        }

    def _picture(self, row: int) -> dict[str, Any]:
        a, b = self._named(self.a[row]), self._named(self.b[row])
        return {
            "image": self.pictures[row].as_py(),
            "shared": float(self.shared[row]),
            "lost": [text for text in a if text not in b],
            "gained": [text for text in b if text not in a],
        }

    def _lists(self, numbers: Ints) -> pa.Array:
        used = numbers >= 0
        return lists(used.nonzero()[0], self.texts.take(pa.array(numbers[used])), len(numbers))

    def _named(self, numbers: Ints) -> list[str]:
        found: list[str] = self.texts.take(pa.array(numbers[numbers >= 0])).to_pylist()
        return found


def concept_changes(a: Side, b: Side) -> list[ConceptChanges]:
    """The changes by every method that both runs have, in A's order; none where one has named no concepts."""
    if a.concepts is None or b.concepts is None:
        return []
    one, other = (
        _first_concepts(side.run, side.concepts.concepts)  # type: ignore[union-attr]
        for side in (a, b)
    )
    known = set(pc.unique(other["method"]).to_pylist())
    methods = [each for each in pc.unique(one["method"]).to_pylist() if each in known]
    found = (
        _changes(each, *(side.filter(pc.field("method") == each) for side in (one, other)))
        for each in methods
    )
    return [changes for changes in found if len(changes.pictures)]


def _first_concepts(run: Run, stage: str) -> pa.Table:
    """The first concepts of all usable pictures, a shard in memory at a time."""
    wanted = (pc.field("rank") < JUDGED) & (pc.field("status") == "ok")
    parts = [
        part.filter(wanted & pc.field("concept").is_valid()).select(
            ["image", "method", "rank", "concept"]
        )
        for _, part in run.scan(stage, "picture_concepts", columns=_COLUMNS)
    ]
    return pa.concat_tables(parts)


def _changes(method: str, a: pa.Table, b: pa.Table) -> ConceptChanges:
    ids = [pc.unique(side["image"]) for side in (a, b)]
    both = ids[0].filter(pc.is_in(ids[0], ids[1]))
    pictures = both.take(pc.sort_indices(both))
    texts = pc.unique(pa.concat_tables([a, b])["concept"])
    one, other = (_numbered(side, pictures, texts) for side in (a, b))
    return ConceptChanges(method, pictures, texts, one, other, shared_share(one, other))


def _numbered(side: pa.Table, pictures: pa.Array, texts: pa.Array) -> Ints:
    """The texts' numbers as [picture, rank]."""
    found = np.full((len(pictures), JUDGED), -1, np.int64)
    place = pc.index_in(side["image"], pictures)
    side, place = side.filter(place.is_valid()), place.drop_null()
    found[place.to_numpy(), side["rank"].to_numpy()] = pc.index_in(
        side["concept"], texts
    ).to_numpy()
    return found
