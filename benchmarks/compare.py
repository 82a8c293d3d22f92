"""Time and memory of `clipneuron compare` on a synthetic pair of runs: tables only, as large as those of a large model.

    python benchmarks/compare.py                                # 25 layers of 4,096 neurons, 768 dimensions
    python benchmarks/compare.py --layers 4 --match             # smaller, and neurons matched by direction as well

Run B is run A with noise of cosine about 0.995, in which 1 % of the neurons have another direction and other words; the
table says how many of these are found. The runs are written first, which is not measured. The comparison is the command
itself in a process of its own; memory is that process's peak (ru_maxrss). Directions are random numbers, which do not
compress; `mean` and the histograms, which are not read, are zeros.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from clipneuron.reports.quantities import size
from clipneuron.store.outlines import Cut
from clipneuron.store.store import Run, Store
from clipneuron.sweep.results import SweepResults
from clipneuron.tables import registry as tables

CHANGED, NOISE, PICTURES, VOCABULARY, WORDS = 0.01, 0.1, 5000, 30_000, 4
MODULE = "import sys; from clipneuron.cli import main; sys.exit(main(sys.argv[1:]))"


def write(store: Path, name: str, sizes: argparse.Namespace, changed: bool) -> Run:
    """A run with the tables that are compared; those of B differ as the page's head says."""
    run = Store(store).open_run(name, {"model": "synthetic", "images": "synthetic", "run": name})
    shards = []
    for layer in range(sizes.layers):
        for shard in range(sizes.shards):
            run.commit(
                "effects", f"{shard:02d}-{layer:02d}", {"summaries": summaries(layer, shard, sizes)}
            )
        for first in range(0, sizes.neurons, sizes.block):
            shard_name, count = (
                f"layer-{layer:02d}-neurons-{first:05d}",
                min(sizes.block, sizes.neurons - first),
            )
            directions, words = block(layer, first, count, sizes, changed)
            run.commit("directions", shard_name, {"directions": directions})
            run.commit("descriptions", shard_name, {"neuron_words": words})
            shards.append((shard_name, count))
    for stage in ("directions", "descriptions"):
        run.announce(Cut.of(stage, "neurons", shards, 3))
        run.write_manifest(stage)
    run.write_manifest("effects")
    layers = tuple(range(sizes.layers))
    run.announce(
        SweepResults(name="r", layers=layers, directions="directions", descriptions="descriptions")
    )
    return run


def planted(layer: int, neurons: int) -> np.ndarray:
    """Which neurons of a layer are changed."""
    return np.random.default_rng([1, layer]).random(neurons) < CHANGED


def block(
    layer: int, first: int, count: int, sizes: argparse.Namespace, changed: bool
) -> tuple[pa.Table, pa.Table]:
    """The directions and words of some neurons."""
    dice = np.random.default_rng([2, layer, first])
    rows = dice.standard_normal((count, sizes.embed), dtype=np.float32)
    top = np.sort(
        dice.integers(0, PICTURES // sizes.top, (count, sizes.top)), 1
    ) + PICTURES // sizes.top * np.arange(sizes.top)
    words = dice.integers(0, VOCABULARY, (count, WORDS))
    if changed:
        other = planted(layer, sizes.neurons)[first : first + count]
        rows += NOISE * dice.standard_normal(rows.shape, dtype=np.float32)
        rows[other] = dice.standard_normal((int(other.sum()), sizes.embed), dtype=np.float32)
        words[other] = dice.integers(0, VOCABULARY, (int(other.sum()), WORDS))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return directions_table(layer, first, rows, top), words_table(layer, first, words)


def directions_table(layer: int, first: int, rows: np.ndarray, top: np.ndarray) -> pa.Table:
    count = len(rows)
    zeros = np.zeros_like(top, dtype=np.float32)
    columns = {
        "direction": lists(rows.astype(np.float32)),
        "mean": lists(np.zeros_like(rows, dtype=np.float32)),
        "note": pa.nulls(count, pa.string()),
        "count": np.full(count, PICTURES),
        "top_images": lists(top),
        "top_norms": lists(zeros),
        "top_projections": lists(zeros),
    }
    figures = ("explained_variance", "threshold", "quantile_98", "share", "participation")
    columns |= dict.fromkeys(figures, np.linspace(0.1, 1, count, dtype=np.float32))
    return table("directions", layer, first, count, columns)


def words_table(layer: int, first: int, words: np.ndarray) -> pa.Table:
    schema = tables.schema("neuron_words")
    count = len(words)
    columns = {
        "layer": np.full(words.size, layer, dtype=np.int16),
        "neuron": np.repeat(np.arange(first, first + count, dtype=np.int32), WORDS),
        "place": np.tile(np.arange(WORDS, dtype=np.int16), count),
        "text": pa.array([f"word {number}" for number in words.ravel().tolist()]),
        "text_index": words.ravel().astype(np.int32),
        "weight": np.tile(np.array([0.5, 0.4, 0.3, -0.2], dtype=np.float32), count),
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def summaries(layer: int, shard: int, sizes: argparse.Namespace) -> pa.Table:
    count, dice = sizes.neurons, np.random.default_rng([3, layer, shard])
    nothing = lists(np.zeros((count, 1), dtype=np.float32))
    columns = {
        "count": np.full(count, PICTURES // sizes.shards),
        **{name: dice.random(count) for name in ("norm_sum", "square_sum", "fourth_sum")},
        "histogram": lists(np.zeros((count, 1), dtype=np.int64)),
        "top_images": lists(np.zeros((count, 1), dtype=np.int64)),
        "top_norms": nothing,
        "top_coefficients": nothing,
    }
    return table("summaries", layer, 0, count, columns)


def table(name: str, layer: int, first: int, count: int, columns: dict[str, object]) -> pa.Table:
    schema = tables.schema(name)
    columns |= {
        "layer": np.full(count, layer, dtype=np.int16),
        "neuron": np.arange(first, first + count, dtype=np.int32),
    }
    return pa.table({field.name: columns[field.name] for field in schema}, schema=schema)


def lists(rows: np.ndarray) -> pa.Array:
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.ravel()))


def measured(words: Sequence[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak bytes of a command in a process of its own; raises where it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", MODULE, *words], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, 1024 * after.ru_maxrss


def found_of(file: Path, sizes: argparse.Namespace) -> str:
    """How many of the planted changes are among the neurons that count as changed, and how many others."""
    total = sum(int(planted(layer, sizes.neurons).sum()) for layer in range(sizes.layers))
    below = json.loads(file.read_text())["all"]
    return f"{below['below'] * below['neurons']:,.0f} of {total:,}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (
        ("layers", 25),
        ("neurons", 4096),
        ("embed", 768),
        ("top", 100),
        ("shards", 4),
        ("block", 256),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--match", action="store_true", help="match neurons by direction as well")
    parser.add_argument(
        "--folder", type=Path, help="keep the runs here (default: a temporary folder)"
    )
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = sizes.folder or Path(temporary)
        for name, changed in (("a", False), ("b", True)):
            run = write(folder / "runs", name, sizes, changed)
        stored = sum(file.stat().st_size for file in Path(run.url).rglob("*.parquet"))
        data, rows = folder / "found.json", folder / "found.parquet"
        base = ["compare", "a", "b", "--store", str(folder / "runs")]
        cases = {
            "compare": base,
            "with --parquet --json --page": [
                *base,
                "--parquet",
                str(rows),
                "--json",
                str(data),
                "--page",
                str(folder / "page"),
            ],
        }
        if sizes.match:
            cases["--match direction"] = [*base, "--match", "direction"]
        print(
            f"{sizes.layers * sizes.neurons:,} neurons x {sizes.embed}, top {sizes.top}; "
            f"tables of a run: {size(stored)}; "
            f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"
        )
        print(f"{'command':32} {'wall':>8} {'CPU':>8} {'peak so far':>12}")
        for name, words in cases.items():
            wall, cpu, peak = measured(words)
            print(f"{name:32} {wall:6.1f} s {cpu:6.1f} s {size(peak):>12}", flush=True)
        print(f"neurons that count as changed, of those planted: {found_of(data, sizes)}")


if __name__ == "__main__":
    main()
