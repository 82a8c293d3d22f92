"""classifier: the zero-shot classifier, a unit row per class (CLIP, section 3.1.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import list_column, table_of
from clipneuron.readers.lenses import ClipLoader
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True)
class ClassifierStage(Stage):
    """Encodes every class in every template with the text tower, `shard_size` classes per commit."""

    clip: ClipLoader
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    shard_size: int = 100
    resources: Resources = Resources(pool="clip")

    kind = "classifier"
    reads: tuple[Upstream, ...] = ()
    writes = ("classifier",)
    unit = "classes"

    @property
    def identity(self) -> Mapping[str, object]:
        """The names and the sentences that they are put into."""
        return {"classes": self.classes, "templates": self.templates}

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per `shard_size` classes."""
        total = len(self.classes)
        return [
            Shard(f"{start:06d}", min(self.shard_size, total - start), start)
            for start in range(0, total, self.shard_size)
        ]

    def loader(self, run: Run) -> "ClassesLoader":
        """Hands out the classes."""
        return ClassesLoader(self.classes)

    def share(self, run: Run) -> None:
        """Nothing but the model, which the stage brings along."""

    def build(self, shared: None) -> "ClassifierWorker":
        """A worker with the model."""
        return ClassifierWorker(self.clip(), self.templates)


@dataclass(frozen=True)
class ClassesLoader:
    """The classes of a shard."""

    classes: tuple[str, ...]

    def load(self, shard: Shard) -> tuple[int, tuple[str, ...]]:
        """The shard's first class and its names."""
        return shard.payload, self.classes[shard.payload :][: shard.rows]


class ClassifierWorker:
    """Encodes one shard of classes after another."""

    def __init__(self, clip: "Clip", templates: tuple[str, ...]) -> None:
        self.clip, self.templates = clip, templates

    @torch.inference_mode()
    def process(self, loaded: tuple[int, tuple[str, ...]], advance: Advance) -> Output:
        """The table `classifier`."""
        first, names = loaded
        rows = []
        for name in names:
            rows.append(self.clip.classifier([name], self.templates).float())
            advance(1)
        columns = {
            "label": pa.array(range(first, first + len(names)), pa.int32()),
            "name": pa.array(names, pa.string()),
            "embedding": list_column(torch.cat(rows), pa.list_(pa.float32())),
        }
        return Output({"classifier": table_of(columns, tables.schema("classifier"))})
