"""concepts: what every picture shows by each method, in one pass (Sec. 5.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from clipneuron.concepts.finder import Finder
from clipneuron.concepts.known import Known, Search, Sources, known_of
from clipneuron.concepts.listed import Listed, listed
from clipneuron.concepts.rows import failed, usable
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import table_of
from clipneuron.readers.lenses import ClipLoader, Lenses
from clipneuron.readers.pictures import Batch, PictureFeed, Pixels
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


@dataclass(frozen=True, kw_only=True)
class ConceptsStage(Stage):
    """Names the concepts of a collection's pictures."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    plan: Upstream
    search: Search
    sources: Sources
    count: int
    """Concepts of a picture and method that are kept."""
    strongest: int
    """Neurons of a concept that are kept."""
    resources: Resources = Resources(pool="clip")

    kind = "concepts"
    writes = ("picture_concepts",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures and what is known before them."""
        return (self.plan, *self.sources.all)

    @property
    def identity(self) -> Mapping[str, object]:
        """How concepts are looked for and how many are kept."""
        return {**self.search.identity, "count": self.count, "strongest": self.strongest}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the pictures."""
        return self.pictures.shards(run, parts=1)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> Known:
        """What is known before any picture."""
        return known_of(run, self.search, self.sources)

    def build(self, shared: Known) -> "ConceptsWorker":
        """A worker with the model."""
        return ConceptsWorker(self, self.clip(), shared)


class ConceptsWorker:
    """Looks at one shard of pictures after another."""

    def __init__(self, stage: ConceptsStage, clip: "Clip", known: Known) -> None:
        self.stage, self.finder = stage, Finder(clip, stage.lenses, stage.search, known)

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `picture_concepts`."""
        parts = [failed(loaded, tables.schema("picture_concepts"))]
        for rows, pixels in usable(loaded, self.stage.batch_size):
            parts.append(self._named(rows, pixels))
            advance(rows.num_rows)
        advance(len(loaded.failures))
        table = pa.concat_tables(parts).combine_chunks()
        return Output({"picture_concepts": table}, loaded.failures)

    def _named(self, rows: pa.Table, pixels: Pixels) -> pa.Table:
        """A batch's rows, by picture, method and rank."""
        found = self.finder.of(pixels)
        activated = found.activated.sum(1).cpu().numpy().astype(np.int32)
        each = list(listed(found, self.stage.count, self.stage.strongest))
        tables_of = [self._table(rows, item, activated) for item in each]
        picture = np.concatenate([item.picture for item in each])
        return pa.concat_tables(tables_of).take(pa.array(picture.argsort(kind="stable")))

    def _table(self, rows: pa.Table, item: Listed, activated: NDArray[np.int32]) -> pa.Table:
        own = rows.take(pa.array(item.picture))
        names = self.finder.names
        texts = [names[text] if text >= 0 else None for text in item.text.tolist()]
        schema = tables.schema("picture_concepts")
        columns = {
            **{name: own[name] for name in own.column_names},
            "activated": activated[item.picture],
            "concept": pa.array(texts, pa.string()),
            **item.columns(self.stage.search.layers, self.finder.neurons),
        }
        lists = ("layers", "neurons", "given")
        columns |= {name: columns[name].cast(schema.field(name).type) for name in lists}
        return table_of(columns, schema)
