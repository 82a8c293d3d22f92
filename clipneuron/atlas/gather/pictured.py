"""The distinct pictures that pages show, cut into shards."""

from collections.abc import Sequence

import pyarrow.compute as pc

from clipneuron.data.plans import latest
from clipneuron.engine.stage import Shard
from clipneuron.store.store import Run


def shown_shards(run: Run, plan: str, shown: str, size: int) -> Sequence[Shard]:
    """So many pictures of the table `shown_pictures` at a time, by their numbers, each with its rows of the plan."""
    index = run.read(shown, "shown_pictures", columns=["index"])["index"]
    planned = latest(run.read(plan, "plan"))
    own = planned.filter(pc.is_in(planned["index"], value_set=pc.unique(index)))
    rows = own.drop_columns("shard").combine_chunks()
    return [
        Shard(f"{start:08d}", part.num_rows, part)
        for start in range(0, rows.num_rows, size)
        for part in [rows.slice(start, size)]
    ]
