"""concept-scores: how true each method's ranking of the pool is of the pictures, by a witness that needs no model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from clipneuron.concepts.finder import Finder
from clipneuron.concepts.known import Known, Search, Sources, known_of
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.concepts import truthful
from clipneuron.readers.arrow import table_of
from clipneuron.readers.lenses import ClipLoader, Lenses
from clipneuron.readers.pictures import Batch, PictureFeed, Pixels
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip

FIRST = 5
"""Concepts whose precision is taken."""


class Shared(NamedTuple):
    """What all workers share."""

    known: Known
    index: Int[np.ndarray, "statement"]
    """Of pictures, rising: one for each text that is true of one."""
    text: Int[np.ndarray, "statement"]


@dataclass(frozen=True, kw_only=True)
class ConceptScoresStage(Stage):
    """Goes over the pictures once more, since all texts are ranked and only the best are kept elsewhere."""

    clip: ClipLoader
    pictures: PictureFeed
    lenses: Lenses
    batch_size: int
    plan: Upstream
    search: Search
    sources: Sources
    witness: Upstream
    """A stage with the table `statements`."""
    by: str
    """The witness's name for people."""
    resources: Resources = Resources(pool="clip")

    kind = "concept-scores"
    writes = ("concept_scores",)
    unit = "images"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The pictures, what is known before them, and what is true of them."""
        return (self.plan, self.witness, *self.sources.all)

    @property
    def identity(self) -> Mapping[str, object]:
        """How concepts are looked for."""
        return {**self.search.identity, "first": FIRST}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The shards of the pictures."""
        return self.pictures.shards(run, parts=1)

    def loader(self, run: Run) -> PictureFeed:
        """Reads and decodes pictures."""
        return self.pictures

    def share(self, run: Run) -> Shared:
        """What is known, and what is true."""
        rows = run.read(self.witness.name, "statements", columns=["index", "texts"])
        rows = rows.sort_by("index").combine_chunks()
        lengths = pc.list_value_length(rows["texts"]).to_numpy()
        index = np.repeat(rows["index"].to_numpy(), lengths)
        text = rows["texts"].combine_chunks().flatten().to_numpy()
        return Shared(known_of(run, self.search, self.sources), index, text)

    def build(self, shared: Shared) -> "ConceptScoresWorker":
        """A worker with the model."""
        return ConceptScoresWorker(self, self.clip(), shared)


class ConceptScoresWorker:
    """Scores one shard of pictures after another."""

    def __init__(self, stage: ConceptScoresStage, clip: "Clip", shared: Shared) -> None:
        self.stage, self.shared = stage, shared
        self.finder = Finder(clip, stage.lenses, stage.search, shared.known)

    @torch.inference_mode()
    def process(self, loaded: Batch, advance: Advance) -> Output:
        """The table `concept_scores`."""
        rows = pa.table(loaded.rows())
        present = np.flatnonzero(loaded.present)
        parts = [self._failed(rows.filter(pa.array([not good for good in loaded.present])))]
        first = 0
        for pictures, pixels in loaded.slices(self.stage.batch_size):
            own = rows.take(pa.array(present[first : first + len(pictures)]))
            parts += self._scored(own, pixels)
            first += len(pictures)
            advance(len(pictures))
        advance(len(loaded.failures))
        return Output({"concept_scores": pa.concat_tables(parts).combine_chunks()}, loaded.failures)

    def _scored(self, rows: pa.Table, pixels: Pixels) -> Iterator[pa.Table]:
        found = self.finder.of(pixels)
        holds = self._holds(rows["index"].to_numpy())
        for method, scores in found.scores.items():
            item = truthful(scores.cpu(), holds, FIRST)
            judged = {
                name: pa.array(values.float().numpy(), from_pandas=True)  # NaN is null
                for name, values in item._asdict().items()
            }
            yield self._table(
                rows,
                method=pa.array([method] * len(holds), pa.string()),
                present=pa.array(holds.sum(1).numpy().astype(np.int32)),
                **judged,
            )

    def _holds(self, index: Int[np.ndarray, "image"]) -> Bool[Tensor, "image text"]:
        holds = torch.zeros(len(index), len(self.finder.names), dtype=torch.bool)
        starts = np.searchsorted(self.shared.index, index)
        stops = np.searchsorted(self.shared.index, index, side="right")
        image = np.repeat(np.arange(len(index)), stops - starts)
        within = np.arange(len(image)) - np.repeat(np.cumsum(stops - starts) - (stops - starts), stops - starts)
        entry = np.repeat(starts, stops - starts) + within
        holds[torch.from_numpy(image), torch.from_numpy(self.shared.text[entry]).long()] = True
        return holds

    def _failed(self, rows: pa.Table) -> pa.Table:
        """A row for each picture that could not be used."""
        schema = tables.schema("concept_scores")
        names = ("method", "present", "precision", "bound", "mean_rank")
        return self._table(rows, **{n: pa.nulls(rows.num_rows, schema.field(n).type) for n in names})

    def _table(self, rows: pa.Table, **own: pa.Array) -> pa.Table:
        columns = {name: rows[name] for name in rows.column_names}
        by = pa.array([self.stage.by] * rows.num_rows, pa.string())
        return table_of({**columns, **own, "by": by}, tables.schema("concept_scores"))
