"""A stage that tells what it was given: digests of the pixels that its loader decoded, or found decoded."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clipneuron.engine.stage import Advance, Output, Resources, Shard
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables


@dataclass(frozen=True)
class Decoding:
    """Every shard of a listing, on actors that import no torch."""

    feed: PictureFeed
    listing: pa.Table
    size: int = 4
    resources: Resources = Resources(pool="clip")

    kind = name = "decoding"
    reads = ()
    writes = ("text_embeddings",)
    unit = "images"

    def shards(self, run: Run) -> Sequence[Shard]:
        starts = range(0, len(self.listing), self.size)
        parts = [self.listing.slice(start, self.size) for start in starts]
        return [Shard(f"{number:04d}", len(part), part) for number, part in enumerate(parts)]

    def loader(self, run: Run) -> PictureFeed:
        return self.feed

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "DecodingWorker":
        return DecodingWorker()


class DecodingWorker:
    def process(self, loaded: Any, advance: Advance) -> Output:
        batch: Batch = loaded
        digests = [hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in batch.pixels]
        columns = {
            "text_index": [picture.index for picture in batch.good],
            "text": digests,
            "note": [batch.notes.get(picture.image) for picture in batch.good],
            "embedding": [[0.0] for _ in batch.good],
        }
        advance(len(batch.pictures))
        table = pa.table(columns, tables.schema("text_embeddings"))
        return Output({"text_embeddings": table}, batch.failures)
