"""texts: the embeddings of a text pool, encoded once and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from clipneuron.data.text_pools import Pool
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import list_column, table_of
from clipneuron.readers.lenses import ClipLoader
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True)
class TextsStage(Stage):
    """Encodes a pool with the text tower, `shard_size` texts per commit."""

    clip: ClipLoader
    pool: Pool
    shard_size: int = 2048
    batch_size: int = 256
    resources: Resources = Resources(pool="clip")
    kind: str = "texts"
    model: str = ""
    """A digest of the model, where it is not the run's own."""

    reads: tuple[Upstream, ...] = ()
    writes = ("text_embeddings",)
    unit = "texts"

    @property
    def identity(self) -> Mapping[str, object]:
        """The texts: a pool is encoded once per run, whatever describes with it."""
        other = {"model": self.model} if self.model else {}
        return {"pool": self.pool.digest, **other}

    @property
    def label(self) -> str:
        """The pool's name."""
        return self.pool.name

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per `shard_size` texts."""
        total = len(self.pool.texts)
        return [
            Shard(f"{start:08d}", min(self.shard_size, total - start), start)
            for start in range(0, total, self.shard_size)
        ]

    def loader(self, run: Run) -> "TextsLoader":
        """Hands out the texts."""
        return TextsLoader(self.pool)

    def share(self, run: Run) -> None:
        """Nothing but the model, which the stage brings along."""

    def build(self, shared: None) -> "TextsWorker":
        """A worker with the model."""
        return TextsWorker(self, self.clip())


@dataclass(frozen=True)
class TextsLoader:
    """The texts of a shard."""

    pool: Pool

    def load(self, shard: Shard) -> tuple[int, list[str]]:
        """The shard's first index and its texts."""
        return shard.payload, list(self.pool.texts[shard.payload :][: shard.rows])


class TextsWorker:
    """Encodes one shard of texts after another."""

    def __init__(self, stage: TextsStage, clip: "Clip") -> None:
        self.stage, self.clip = stage, clip

    @torch.inference_mode()
    def process(self, loaded: tuple[int, list[str]], advance: Advance) -> Output:
        """The table `text_embeddings`, not normalised."""
        first, texts = loaded
        size = self.stage.batch_size
        embeddings = []
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]
            embeddings.append(self.clip.encode_texts(batch).float())
            advance(len(batch))
        columns = {
            "text_index": pa.array(range(first, first + len(texts)), pa.int32()),
            "text": pa.array(texts, pa.string()),
            "note": pa.array(self._notes(texts), pa.string()),
            "embedding": list_column(torch.cat(embeddings), pa.list_(pa.float32())),
        }
        return Output({"text_embeddings": table_of(columns, tables.schema("text_embeddings"))})

    def _notes(self, texts: list[str]) -> list[str | None]:
        context, cut, _ = self.clip.reading(texts)
        return [
            f"cut off: {context} of {cut[text]} tokens are read" if text in cut else None
            for text in texts
        ]
