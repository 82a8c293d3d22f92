"""Small tables, runs and stores that the tests of this room share."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from clipneuron.store.store import Run, Store
from clipneuron.tables import registry as tables

IDENTITY: dict[str, object] = {
    "model": "ViT-B-32",
    "layers": [8, 9],
    "split": "equal",
    "epsilon": 1e-5,
}


def new_run(root: Path | str, name: str = "demo") -> Run:
    return Store(root).open_run(name, IDENTITY, {"host": "here"})


def means(value: float, rows: int = 3, path: int = 4) -> pa.Table:
    """A table whose every coefficient is `value`, so that a reader can tell who wrote it."""
    columns = {
        "layer": [8] * rows,
        "neuron": list(range(rows)),
        "count": [10] * rows,
        "coefficients": [[value] * path] * rows,
    }
    return pa.table(columns, schema=tables.schema("means"))


def norms(
    images: Sequence[str],
    layers: Sequence[int] = (8, 9),
    neurons: int = 3,
    statuses: Sequence[str] = (),
) -> pa.Table:
    count = len(images)
    columns = {
        "index": range(count),
        "image": list(images),
        "label": [None] * count,
        "status": list(statuses) or ["ok"] * count,
        "reason": [None] * count,
        "note": [None] * count,
    } | {f"layer_{layer}": [[float(layer)] * neurons] * count for layer in layers}
    schema = tables.schema("norms", layers=layers, neurons=neurons)
    arrays = [pa.array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def values(run: Run, shard: str | None = None) -> set[float]:
    """The distinct coefficients that a reader sees."""
    table = run.read("calibrate", "means", shards=None if shard is None else [shard])
    return {value for row in table["coefficients"].to_pylist() for value in row}


def data_keys(run: Run) -> list[str]:
    return list(run.objects.list("data/"))


def leftovers(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob(".partial/*"))
