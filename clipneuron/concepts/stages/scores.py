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
from clipneuron.concepts.rows import failed, usable
from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.words.concepts import truthful
from clipneuron.readers.arrow import table_of
from clipneuron.readers.lenses import ClipLoader, Lenses
from clipneuron.readers.pictures import Batch, PictureFeed, Pixels
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables
from clipneuron.tables.concepts import JUDGED

if TYPE_CHECKING:
    from clipneuron.models.clip.model import Clip


class Shared(NamedTuple):
    """What all workers share."""

    known: Known
    numbers: Int[np.ndarray, "statement"]
    """Of pictures, rising: one for each text that is true of one."""
    texts: Int[np.ndarray, "statement"]


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
        return {**self.search.identity, "first": JUDGED}

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
        parts = [failed(loaded, tables.schema("concept_scores"))]
        for rows, pixels in usable(loaded, self.stage.batch_size):
            parts += self._scored(rows, pixels)
            advance(rows.num_rows)
        advance(len(loaded.failures))
        return Output({"concept_scores": pa.concat_tables(parts).combine_chunks()}, loaded.failures)

    def _scored(self, rows: pa.Table, pixels: Pixels) -> Iterator[pa.Table]:
        found = self.finder.of(pixels)
        holds = self._holds(rows["index"].to_numpy())
        for method, scores in found.scores.items():
            item = truthful(scores.cpu(), holds, JUDGED)
            judged = {
                name: pa.array(values.float().numpy(), from_pandas=True)  # NaN is null
                for name, values in item._asdict().items()
            }
            columns = {
                **{name: rows[name] for name in rows.column_names},
                "method": pa.array([method] * len(holds), pa.string()),
                "by": pa.array([self.stage.by] * len(holds), pa.string()),
                "present": pa.array(holds.sum(1).numpy().astype(np.int32)),
                **judged,
            }
            yield table_of(columns, tables.schema("concept_scores"))

    def _holds(self, index: Int[np.ndarray, "image"]) -> Bool[Tensor, "image text"]:
        """What is true of pictures by number, rising."""
        holds = torch.zeros(len(index), len(self.finder.names), dtype=torch.bool)
        first, last = np.searchsorted(self.shared.numbers, [index[0], index[-1] + 1])
        numbers, texts = self.shared.numbers[first:last], self.shared.texts[first:last]
        image = np.searchsorted(index, numbers)
        own = index[image] == numbers
        holds[torch.from_numpy(image[own]), torch.from_numpy(texts[own]).long()] = True
        return holds
