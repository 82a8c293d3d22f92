"""What failed in a run, and what of it can be used now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.plans import latest
from clipneuron.engine.stage import Shard
from clipneuron.readers.pictures import PictureFeed
from clipneuron.readers.sweep import unusable
from clipneuron.store import progress
from clipneuron.store.store import Failure, Run
from clipneuron.sweep.pipeline import Sweep

Tried = tuple[str, str]
"""A picture and the shard that it failed in."""

_AT_ONCE = 64
"""Pictures that are decoded, and forgotten, at a time."""


@dataclass(frozen=True)
class Retry:
    """What failed in a run, and what of it can be used now."""

    sweep: Sweep
    """The run's own, on its pictures as they are now."""
    run: Run
    quarantined: tuple[tuple[str, str], ...]
    """Stage and shard of what is not tried any more."""
    failed: Mapping[Tried, Failure]
    """The pictures that could not be used."""
    reasons: Mapping[str, str]
    """Why each of them cannot be used now, "" where it can."""

    @classmethod
    def of(cls, sweep: Sweep, run: Run) -> "Retry":
        """What there is to retry; every failed picture is read and decoded once more."""
        failed = unusable(run)
        return cls(
            sweep, run, tuple(progress.quarantined(run.objects)), failed, _reasons(sweep, failed)
        )

    @cached_property
    def usable(self) -> frozenset[Tried]:
        """Those of the failed pictures that can be read and decoded now."""
        return frozenset(key for key in self.failed if not self.reasons[key[0]])

    @property
    def is_possible(self) -> bool:
        """Whether anything can be done now."""
        return bool(self.usable or self.quarantined)

    @cached_property
    def failed_share(self) -> float:
        """The share of the first part's pictures that its means had to do without."""
        commits = self.run.committed("calibrate").values()
        failed = sum(len(commit.failures) for commit in commits)
        planned = self.run.read("plan", "plan", shards=["part-0000"], columns=["index"])
        return failed / (self.sweep.recipe.calibrate_on or len(planned))

    def again(self) -> Sweep:
        """The sweep with the pictures to try again, and none that the run has not planned yet.

        Raises what planning them would raise: nothing is changed.
        """
        planned = self.run.read("plan", "plan", columns=["image"])["image"]
        known = _of(self.sweep.collection.listing, planned.combine_chunks())
        collection = replace(self.sweep.collection, listing=known)
        found = replace(self.sweep, retry=self.usable | self._replaced(), collection=collection)
        found.planned_next()
        return found

    def forget_failures(self) -> None:
        """Shards in quarantine may be tried again."""
        for stage, shard in self.quarantined:
            self.run.forget_failures(stage, shard)

    def _replaced(self) -> frozenset[Tried]:
        """Failed pictures that have other bytes than planned: usable or not, they are planned anew."""
        images = {image for image, _ in self.failed}
        planned = _places(latest(_of(self.run.read("plan", "plan"), images)))
        there = _places(_of(self.sweep.collection.listing, images))
        return frozenset(key for key in self.failed if planned[key[0]] != there.get(key[0]))


def _reasons(sweep: Sweep, failed: Iterable[Tried]) -> dict[str, str]:
    images = {image for image, _ in failed}
    rows = _of(sweep.collection.listing, images)
    feed = PictureFeed(sweep.collection.reader, sweep.preprocess)
    found = {image: f"missing: {image} is not in the collection any more" for image in images}
    found |= dict.fromkeys(rows["image"].to_pylist(), "")
    for start in range(0, rows.num_rows, _AT_ONCE):
        some = rows.slice(start, _AT_ONCE)
        for failure in feed.load(Shard("again", some.num_rows, some)).failures:
            found[failure.image] = f"{failure.status}: {failure.reason}"
    return found


def _places(table: pa.Table) -> dict[str, tuple[object, ...]]:
    columns = (table[name].to_pylist() for name in ("image", "source", "offset", "size", "etag"))
    return {image: tuple(place) for image, *place in zip(*columns, strict=True)}


def _of(table: pa.Table, images: Iterable[str]) -> pa.Table:
    """The rows of these pictures."""
    return table.filter(pc.is_in(table["image"], value_set=pa.array(images, pa.string())))
