"""witness: held-out pictures as another CLIP sees them, which says what is true of them by similarity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import fixed_list_column, table_of
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True)
class WitnessStage(Stage):
    """One pass of the other CLIP over the held-out pictures."""

    clip: ClipLoader
    pictures: PictureFeed
    batch_size: int
    plan: Upstream
    by: str
    digest: str
    """Of the model."""
    resources: Resources = Resources(pool="clip")

    kind = "witness"
    writes = ("witness_embeddings",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures."""
        return (self.plan,)

    @property
    def identity(self) -> Mapping[str, object]:
        """The model."""
        return {"model": self.digest}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the held-out pictures."""
        return self.pictures.shards(run, parts=1)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> None:
        """Nothing but the model, which the stage brings along."""

    def build(self, shared: None) -> "WitnessWorker":
        """A worker with the model."""
        return WitnessWorker(self, self.clip())


@dataclass(frozen=True)
class WitnessWorker:
    """Encodes one shard of pictures after another."""

    stage: WitnessStage
    clip: "Clip"

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `witness_embeddings`."""
        found = [torch.zeros(0, self.clip.embed)]
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            clip = self.clip
            read = clip.preprocess.normalize(pixels, clip.device, clip.dtype)
            units = torch.nn.functional.normalize(clip.encode_images(read).float(), dim=1)
            found.append(units.cpu())
            advance(len(pictures))
        advance(len(loaded.failures))
        present = torch.tensor(loaded.present, dtype=torch.bool)
        columns: dict[str, object] = {
            **loaded.rows(),
            "embedding": fixed_list_column(torch.cat(found), present).cast(pa.list_(pa.float32())),
            "by": pa.array([self.stage.by] * len(loaded.pictures), pa.string()),
        }
        table = table_of(columns, tables.schema("witness_embeddings"))
        return Output({"witness_embeddings": table}, loaded.failures)
