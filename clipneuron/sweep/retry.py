"""What failed in a run, and what of it can be used now."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.plans import latest
from clipneuron.engine.stage import Shard
from clipneuron.readers.pictures import PictureFeed
from clipneuron.store.store import Failure, Run
from clipneuron.sweep.pipeline import Sweep

Tried = tuple[str, str]
"""A picture and the shard that it failed in."""

_AT_ONCE = 64
"""Pictures that are decoded, and forgotten, at a time."""


def failed_share(run: Run) -> float:
    """The share of the first part's pictures that its means had to do without."""
    commits = run.committed("calibrate").values()
    failed = sum(len(commit.failures) for commit in commits)
    planned = run.read("plan", "plan", shards=["part-0000"], columns=["index"])
    return failed / len(planned)


def quarantined(run: Run) -> Iterator[tuple[str, str]]:
    """Stage and shard of what is not tried any more."""
    for stage in run.stages_with_failures():
        seen = run.progress(stage, within=0.0)
        most = seen.cut.attempts if seen.cut else 1
        for shard, attempts in sorted(seen.failed_attempts.items()):
            if attempts >= most:
                yield stage, shard


def reasons(sweep: Sweep, failed: Mapping[Tried, Failure]) -> dict[str, str]:
    """Why each of the failed pictures cannot be used now, "" where it can."""
    images = {image for image, _ in failed}
    rows = _of(sweep.collection.listing, images)
    feed = PictureFeed(sweep.collection.reader, sweep.clip.preprocess)
    found = {image: f"missing: {image} is not in the collection any more" for image in images}
    found |= dict.fromkeys(rows["image"].to_pylist(), "")
    for start in range(0, rows.num_rows, _AT_ONCE):
        some = rows.slice(start, _AT_ONCE)
        for failure in feed.load(Shard("again", some.num_rows, some)).failures:
            found[failure.image] = f"{failure.status}: {failure.reason}"
    return found


def replaced(sweep: Sweep, run: Run, failed: Iterable[Tried]) -> frozenset[Tried]:
    """Those of the failed pictures that have other bytes than planned: usable or not, they are planned anew."""
    images = {image for image, _ in failed}
    planned = _places(latest(_of(run.read("plan", "plan"), images)))
    there = _places(_of(sweep.collection.listing, images))
    return frozenset(key for key in failed if planned[key[0]] != there.get(key[0]))


def narrowed(sweep: Sweep, run: Run, pictures: frozenset[Tried]) -> Sweep:
    """The sweep with these pictures to try again, and none that the run has not planned yet."""
    planned = run.read("plan", "plan", columns=["image"])["image"]
    known = _of(sweep.collection.listing, planned.combine_chunks())
    return replace(sweep, retry=pictures, collection=replace(sweep.collection, listing=known))


def _places(table: pa.Table) -> dict[str, tuple[object, ...]]:
    columns = (table[name].to_pylist() for name in ("image", "source", "offset", "size", "etag"))
    return {image: tuple(place) for image, *place in zip(*columns, strict=True)}


def _of(table: pa.Table, images: Iterable[str]) -> pa.Table:
    """The rows of these pictures."""
    return table.filter(pc.is_in(table["image"], value_set=pa.array(images, pa.string())))
