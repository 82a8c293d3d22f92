"""The work of a schedule: a stage of a few tiny shards, some of whose tries fail."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

import pyarrow as pa

from clipneuron.engine.stage import Advance, Output, Resources, Shard
from clipneuron.store.store import Run
from clipneuron.tables import registry as tables

STAGE = "light"
TABLE = "text_embeddings"
OPERATOR = "operator"
"""How the names of those begin who may damage an object and delete a marker."""
_VARIANTS = 4
_tries = re.compile(r"try (\d+) of ")


@dataclass
class TinyStage:
    """Some shards of two rows each; a shard's first tries may fail."""

    count: int
    flaky: Mapping[str, int] = field(default_factory=dict)
    """How often trying a shard fails."""
    tried: Callable[[str], None] = lambda shard: None
    """Told of every try."""
    failed: Counter[str] = field(default_factory=Counter)
    numbers: Any = field(default_factory=count)

    kind = name = STAGE
    reads = ()
    writes = (TABLE,)
    unit = "texts"
    resources = Resources()
    decodes = False

    def shards(self, run: Run | None = None) -> Sequence[Shard]:
        return [Shard(f"{number:04d}", 2, number) for number in range(self.count)]

    def loader(self, run: Run) -> "TinyStage":
        return self

    def load(self, shard: Shard) -> str:
        return shard.name

    def share(self, run: Run) -> None:
        return None

    def build(self, shared: None) -> "TinyStage":
        return self

    def process(self, shard: str, advance: Advance) -> Output:
        number = next(self.numbers)
        self.tried(shard)
        if self.failed[shard] < self.flaky.get(shard, 0):
            self.failed[shard] += 1
            raise ValueError(f"try {number} of {shard} fails")
        advance(2)
        return Output({TABLE: _table(shard, number % _VARIANTS)})


def failed_try(error: str) -> int | None:
    """The number of the try that failed with this error; None for an error of another kind."""
    found = _tries.search(error)
    return int(found[1]) if found else None


def expected(shard: str, rows: pa.Table) -> bool:
    """Whether these are the rows that one try at the shard gives, whole."""
    return any(rows.equals(_table(shard, variant)) for variant in range(_VARIANTS))


@cache
def _table(shard: str, variant: int) -> pa.Table:
    """The same rows in every variant but for a note, so that rows of two tries can be told apart."""
    columns = {
        "text_index": [2 * int(shard), 2 * int(shard) + 1],
        "text": [f"{shard} first", f"{shard} second"],
        "note": [f"variant {variant}"] * 2,
        "embedding": [[0.5], [1.5]],
    }
    return pa.table(columns, tables.schema(TABLE))
