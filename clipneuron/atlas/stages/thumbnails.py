"""thumbnails: the pictures that pages show, as the model sees them, small; in WebP, which every browser reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clipneuron.atlas.gather.pictured import shown_shards
from clipneuron.atlas.tiles import Sizes, shrunk
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables


@dataclass(frozen=True, kw_only=True)
class ThumbnailsStage(Stage):
    """Reads every picture that is shown once, whatever number of neurons shows it."""

    pictures: PictureFeed
    sizes: Sizes
    plan: Upstream
    shown: Upstream
    shard_size: int = 256
    resources: Resources = Resources()

    kind = "thumbnails"
    writes = ("thumbnails",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, and which of them are shown."""
        return (self.plan, self.shown)

    @property
    def identity(self) -> Mapping[str, object]:
        """How small they become."""
        return self.sizes.identity

    def shards(self, run: Run) -> Sequence[Shard]:
        """The distinct pictures by their numbers, so many at a time."""
        return shown_shards(run, self.plan.name, self.shown.name, self.shard_size)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "ThumbnailsWorker":
        """A worker that shrinks."""
        return ThumbnailsWorker(self.sizes)


@dataclass(frozen=True)
class ThumbnailsWorker:
    """Shrinks one shard of pictures after another."""

    sizes: Sizes

    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `thumbnails`."""
        known = loaded.rows()
        kept = ("image", "status", "reason")
        good = dict(zip([item.index for item in loaded.good], loaded.pixels, strict=True))
        rows: list[dict[str, Any]] = []
        for place, picture in enumerate(loaded.pictures):
            pixels = good.get(picture.index)
            own = {name: known[name][place].as_py() for name in kept}
            small = {} if pixels is None else shrunk(pixels.transpose(1, 2, 0), self.sizes)
            rows.append({"key": str(picture.index), **own, **small})
            advance(1)
        table = pa.Table.from_pylist(rows, schema=tables.schema("thumbnails"))
        return Output({"thumbnails": table}, loaded.failures)
