"""pool: what an encoded pool of texts allows, known before any pass over pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from clipneuron.engine.stage import Advance, Output, Resources, Shard, Stage, Upstream
from clipneuron.lens.options import Preparation
from clipneuron.lens.sparse.pools import alike, rank
from clipneuron.readers.arrow import table_of, unchanging
from clipneuron.readers.sweep import PreparedTexts, prepared_texts
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables


@dataclass(frozen=True)
class PoolStage(Stage):
    """Judges a prepared pool by its rank, and counts the texts that are nearly equal to another."""

    texts: Upstream
    pool: str
    """The pool's name."""
    atoms: int
    """Texts of the long descriptions that are to be made with it."""
    preparation: Preparation
    resources: Resources = Resources(local=True)

    kind = "pool"
    writes = ("pools",)
    unit = "pools"

    @property
    def reads(self) -> tuple[Upstream, ...]:
        """The encoded pool."""
        return (self.texts,)

    @property
    def label(self) -> str:
        """The pool's name."""
        return self.pool

    @property
    def identity(self) -> Mapping[str, object]:
        """What it is judged for."""
        return {"preparation": self.preparation, "atoms": self.atoms}

    def shards(self, run: Run) -> Sequence[Shard]:
        """The pool."""
        return [Shard("pool", 1)]

    def loader(self, run: Run) -> "PoolLoader":
        """Nothing but the pool, which all workers share."""
        return PoolLoader()

    def share(self, run: Run) -> "Judged":
        """The prepared text matrix and its rank; raises ValueError where too few of its texts are independent."""
        prepared = prepared_texts(run, self.texts.name, self.preparation)
        found = rank(unchanging(prepared.matrix))
        if found < self.atoms:
            raise ValueError(
                f"the {len(prepared.words):,} texts of {self.pool}, prepared {self.preparation}, extend in {found} "
                f"independent directions, too few for descriptions of {self.atoms} texts: set `recipe.atoms` "
                f"(in a reproduction `evaluation.sizes`) to at most {found}, or give a pool of other texts"
            )
        return Judged(prepared, found)

    def build(self, shared: "Judged") -> "PoolWorker":
        """A worker on the text matrix."""
        return PoolWorker(shared)


class Judged(NamedTuple):
    """A prepared pool, and in how many independent directions it extends."""

    prepared: PreparedTexts
    rank: int


@dataclass(frozen=True)
class PoolLoader:
    """There is nothing to load."""

    def load(self, shard: Shard) -> None:
        """Nothing."""


class PoolWorker:
    """Looks at the pool."""

    def __init__(self, shared: Judged) -> None:
        prepared, self.rank = shared
        self.words, self.texts = prepared.words, unchanging(prepared.matrix)

    @torch.inference_mode()
    def process(self, loaded: None, advance: Advance) -> Output:
        """The table `pools`."""
        advance(1)
        return Output({"pools": self._table(self.texts)})

    def _table(self, texts: Tensor) -> pa.Table:
        near = alike(texts)
        some = near.texts > 0
        row = {
            "texts": len(texts),
            "rank": self.rank,
            "alike": near.texts,
            "text": self.words[near.first] if some else None,
            "other": self.words[near.second] if some else None,
            "cosine": near.cosine if some else None,
        }
        return table_of({name: [value] for name, value in row.items()}, tables.schema("pools"))
