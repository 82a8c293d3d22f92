"""concept-index: which pictures show each concept, the ones that show it most first."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.readers.arrow import table_of
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

_ORDER = [
    ("concept", "ascending"),
    ("method", "ascending"),
    ("score", "descending"),
    ("index", "ascending"),
]


@dataclass(frozen=True, kw_only=True)
class ConceptIndexStage(Stage):
    """Turns the table `picture_concepts` around; texts in alphabetical order, a block of them per shard."""

    concepts: Upstream
    texts: tuple[str, ...]
    """The pool's."""
    shard_size: int = 1024
    resources: Resources = Resources()

    kind = "concept-index"
    writes = ("concept_pictures",)
    unit = "texts"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The concepts of pictures."""
        return (self.concepts,)

    def shards(self, run: Run) -> Sequence[Shard]:
        """A shard per block of texts."""
        ordered = sorted(self.texts)
        return [
            Shard(f"{start:08d}", len(block), (block[0], block[-1]))
            for start in range(0, len(ordered), self.shard_size)
            for block in [ordered[start : start + self.shard_size]]
        ]

    def loader(self, run: Run) -> "ConceptRows":
        """Reads the rows of a block."""
        return ConceptRows(run, self.concepts.name)

    def share(self, run: Run) -> None:
        """Nothing."""

    def build(self, shared: None) -> "ConceptIndexWorker":
        """A worker that sorts."""
        return ConceptIndexWorker()


@dataclass(frozen=True)
class ConceptRows:
    """Reads the concepts from one text to another, in alphabetical order."""

    run: Run
    stage: str

    def load(self, shard: Shard) -> tuple[int, pa.Table]:
        """How many texts there are in the block, and where they were found."""
        first, last = shard.payload
        names = tables.schema("concept_pictures").names
        own = [("concept", ">=", first), ("concept", "<=", last)]
        return shard.rows, self.run.read(self.stage, "picture_concepts", columns=names, filters=own)


@dataclass(frozen=True)
class ConceptIndexWorker:
    """Sorts one block after another."""

    def process(self, loaded: tuple[int, pa.Table], advance: Advance) -> Output:
        """The table `concept_pictures`."""
        texts, rows = loaded
        ordered = rows.sort_by(_ORDER).combine_chunks()
        advance(texts)
        schema = tables.schema("concept_pictures")
        return Output({"concept_pictures": table_of({n: ordered[n] for n in schema.names}, schema)})
