"""direct-effects: what attention heads write straight to the output on swept pictures, and their embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.ablations import representations
from clipneuron.lens.first_order import head_effects
from clipneuron.readers.arrow import list_column, table_of
from clipneuron.readers.feeding import fed
from clipneuron.readers.lenses import ClipLoader, Lenses, trace_of
from clipneuron.readers.pictures import Batch, PictureFeed
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True, kw_only=True)
class DirectEffectsStage(Stage):
    """Keeps the effects of the last layers' heads on pictures that are spread evenly over the sweep."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    """How effects are split and normalised; its layers are not looked at."""
    batch_size: int
    plan: Upstream
    images: int
    depth: int
    """Last layers whose heads are kept; all where there are fewer."""
    shard_size: int = 128
    resources: Resources = Resources(pool="clip")

    kind = "direct-effects"
    writes = ("direct_effects",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures of the sweep."""
        return (self.plan,)

    @property
    def identity(self) -> Mapping[str, object]:
        """How many pictures and layers."""
        return {"images": self.images, "depth": self.depth}

    def shards(self, run: Run) -> Sequence[Shard]:
        """Pictures of the plan's first part, spread evenly."""
        planned = pa.concat_tables([shard.payload for shard in self.pictures.shards(run, parts=1)])
        count = min(self.images, planned.num_rows)
        places = np.linspace(0, planned.num_rows - 1, count, dtype=np.int64)
        chosen = planned.sort_by("index").take(places)
        return [
            Shard(f"{start:06d}", rows.num_rows, rows)
            for start in range(0, count, self.shard_size)
            for rows in [chosen.slice(start, self.shard_size)]
        ]

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> None:
        """Nothing but the model, which the stage brings along."""

    def build(self, shared: None) -> "DirectEffectsWorker":
        """A worker with the model."""
        return DirectEffectsWorker(self, self.clip())


class DirectEffectsWorker:
    """Looks at one shard of pictures after another."""

    def __init__(self, stage: DirectEffectsStage, clip: "Clip") -> None:
        self.stage, self.clip = stage, clip

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `direct_effects`."""
        schema, floats = tables.schema("direct_effects"), pa.list_(pa.float32())
        lenses, parts = self.stage.lenses, []
        for pictures, pixels in fed(loaded, self.stage.batch_size, self.clip.device):
            trace = trace_of(self.clip, pixels, (), first_order=True)
            effects = head_effects(
                self.clip.weights, trace, split=lenses.split, normalize=lenses.normalize
            )
            columns = {
                "index": pa.array([picture.index for picture in pictures], pa.int64()),
                "embedding": list_column(representations(trace).float(), floats),
                "effects": list_column(effects[:, -self.stage.depth :].float(), floats),
            }
            parts.append(table_of(columns, schema))
            del trace  # before the next batch passes: activations take gigabytes
            advance(len(pictures))
        advance(len(loaded.failures))
        table = pa.concat_tables([schema.empty_table(), *parts])
        return Output({"direct_effects": table}, loaded.failures)
