"""The pictures that two runs have in common, whatever their numbers are."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clipneuron.operations.compare.arrays import ratio
from clipneuron.operations.compare.sides import Ints, Side
from clipneuron.store.store import Run

PLAN = "plan"


@dataclass(frozen=True)
class CommonPictures:
    """The numbers in A of the pictures of B; without an array where both number them alike."""

    in_a: Ints | None
    """By number in B, -1 for pictures that only B has; None: the same number."""
    only: tuple[int, int] = (0, 0)
    """Pictures that only A has, and only B."""

    def numbers(self, of_b: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers in A of pictures by their numbers in B; -1 where A does not have it."""
        if self.in_a is None:
            return of_b
        inside = (of_b >= 0) & (of_b < len(self.in_a))
        return np.where(inside, self.in_a[np.where(inside, of_b, 0)], -1)


def common_pictures(a: Side, b: Side) -> CommonPictures | None:
    """By the digest of the collections, else by the pictures' ids in both plans; None where none is in both."""
    images = a.run.identity.get("images")
    if images is not None and images == b.run.identity.get("images"):
        return CommonPictures(None)
    if not (a.run.done(PLAN) and b.run.done(PLAN)):
        return None
    return _by_id(*(_numbered(side.run) for side in (a, b)))


def names(run: Run, numbers: set[int]) -> dict[int, str]:
    """The ids of pictures by their numbers, as far as the plan has them."""
    if not numbers or not run.done(PLAN):
        return {}
    index, ids = _numbered(run)
    found = np.isin(index, list(numbers))
    return dict(zip(index[found].tolist(), ids.filter(pa.array(found)).to_pylist(), strict=True))


def _numbered(run: Run) -> tuple[Ints, pa.Array]:
    plan = run.read(PLAN, PLAN, columns=["index", "image"])
    return plan["index"].to_numpy(), plan["image"].combine_chunks()


def _by_id(a: tuple[Ints, pa.Array], b: tuple[Ints, pa.Array]) -> CommonPictures | None:
    place = pc.index_in(b[1], a[1])
    known = place.is_valid().to_numpy(zero_copy_only=False)
    if not known.any():
        return None
    in_a = np.full(int(b[0].max()) + 1, -1, dtype=np.int64)
    in_a[b[0][known]] = a[0][place.drop_null().to_numpy()]
    shared = len(np.unique(in_a[in_a >= 0]))
    return CommonPictures(in_a, (len(np.unique(a[0])) - shared, len(np.unique(b[0])) - shared))


def shared_share(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of two lists of pictures per row [row, place], the share of the shorter that is in both; NaN without any.

    Places that are not used, or pictures that the other run does not have, are -1.
    """
    most = max(int(one.max(initial=0)), int(other.max(initial=0))) + 1
    keys = [((np.arange(len(rows))[:, None] * most) + rows)[rows >= 0] for rows in (one, other)]
    both = np.intersect1d(keys[0], keys[1], assume_unique=True) // most
    counts = np.bincount(both, minlength=len(one)).astype(np.float64)
    shorter = np.minimum((one >= 0).sum(1), (other >= 0).sum(1))
    return ratio(counts, shorter)
