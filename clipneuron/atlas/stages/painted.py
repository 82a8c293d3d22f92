"""painted-thumbnails: the adversarial pictures that pages show, small; a shard per pair of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from clipneuron.atlas import addresses
from clipneuron.atlas.gather.pictured import Gallery, PaintedLoader
from clipneuron.atlas.tiles import Sizes, shrunk
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.store.store import Failure, Run
from clipneuron.tables import registry as tables


@dataclass(frozen=True, kw_only=True)
class PaintedThumbnailsStage(Stage):
    """Takes the pictures that fool the model most from an attack's table `pictures`."""

    gallery: Gallery
    sizes: Sizes
    reads: tuple[Upstream, ...] = ()
    resources: Resources = Resources()

    kind = "painted-thumbnails"
    writes = ("thumbnails",)
    unit = "images"

    @property
    def identity(self) -> Mapping[str, object]:
        """Which attack, how many pictures, how small."""
        return {**self.gallery.identity, **self.sizes.identity}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per pair, with the names of its pictures."""
        return self.gallery.shards(run)

    def loader(self, run: Run) -> "PaintedLoader":
        """Reads the pictures' bytes."""
        return PaintedLoader(run, self.gallery.attack.pictures)

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "PaintedWorker":
        """A worker that shrinks."""
        return PaintedWorker(self.sizes)


@dataclass(frozen=True)
class PaintedWorker:
    """Shrinks the pictures of one pair after another."""

    sizes: Sizes

    def process(self, loaded: list[tuple[str, bytes | None]], advance: Advance) -> Output:
        """The table `thumbnails`."""
        rows = []
        for name, data in loaded:
            rows.append({"key": addresses.slug(name), "image": name, **self._small(data)})
            advance(1)
        table = pa.Table.from_pylist(rows, schema=tables.schema("thumbnails"))
        failed = [
            Failure(row["image"], row["status"], row["reason"])
            for row in rows
            if row["status"] != "ok"
        ]
        return Output({"thumbnails": table}, failed)

    def _small(self, data: bytes | None) -> dict[str, Any]:
        try:
            if data is None:
                raise ValueError("the table has no picture of that name")
            pixels = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        except (OSError, UnidentifiedImageError, ValueError) as error:
            return {"status": "damaged", "reason": str(error)}
        return {"status": "ok", **shrunk(pixels, self.sizes)}
