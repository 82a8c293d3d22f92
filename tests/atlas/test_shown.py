"""Which pictures pages show, where a shard of pictures has none that could be read."""

from collections.abc import Iterator

import pyarrow as pa

from clipneuron.atlas.stages.shown import LayerNorms
from clipneuron.engine.stage import Shard


class Stated:
    """A run of two shards, of which only the second has pictures that could be read."""

    def scan(self, stage: str, table: str, columns: list[str]) -> Iterator[tuple[str, pa.Table]]:
        kind = pa.list_(pa.float32())
        for name, index, status, norms in (
            ("first", [0, 1], "failed", [None, None]),
            ("second", [2, 3], "ok", [[1.0, 2.0], [3.0, 4.0]]),
        ):
            own = {"index": index, "status": [status] * 2, "layer_0": pa.array(norms, kind)}
            yield name, pa.table(own)

    def read(self, stage: str, table: str, **which: object) -> pa.Table:
        numbers = pa.array([0, 1], pa.int32())
        top = pa.array([[3], [3]], pa.list_(pa.int64()))
        norms = pa.array([[3.0], [4.0]], pa.list_(pa.float32()))
        columns = {"neuron": numbers, "threshold": [1.0, 1.0]}
        return pa.table({**columns, "top_images": top, "top_norms": norms})


def test_a_shard_of_unreadable_pictures_is_passed_over() -> None:
    rows = LayerNorms(Stated(), "effects", "directions").load(Shard("layer-00", 1, (0, (1,))))
    assert rows.images.tolist() == [2, 3]
    assert rows.norms.tolist() == [[2.0], [4.0]]
