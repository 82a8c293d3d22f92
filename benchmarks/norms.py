"""What norms, and the other floats of a sweep, take as float32 and float16, plain and byte-stream-split.

    OMP_NUM_THREADS=1 python benchmarks/norms.py
    OMP_NUM_THREADS=1 python benchmarks/norms.py --pictures 128 --repeats 3

Real tables are those of a sweep of the demo's model over its scenes. Those of ViT-B-32's shape are drawn: a neuron's
norms are log-normal, with a scale of its own. Byte-stream-split writes the first bytes of all numbers, then the second
ones, and so on, so that zstd finds the exponents side by side. Otherwise tables are written as the store writes them,
and one of the two ways is the store's own, to the byte: it is in bold. Times are core-milliseconds, the least of the
repeats, in which all take turns.
"""

import argparse
import io
import tempfile
from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from machine import describe
from timing import least

from clipneuron.config.named import named_recipe
from clipneuron.engine.runner import Runner
from clipneuron.reports.consoles import Console
from clipneuron.store import parquet
from clipneuron.store.store import Store
from clipneuron.sweep.pipeline import Sweep
from clipneuron.tables import registry as tables

LAYERS, NEURONS = 11, 3072
"""Of ViT-B-32, all layers but the last."""
OTHERS = (
    ("calibrate", "means"),
    ("effects", "summaries"),
    ("effects", "remainders"),
    ("directions", "directions"),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=256, help="of a shard; two are swept")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    print(
        f"{describe()}; pyarrow {pa.__version__}; {arguments.pictures} pictures a shard\n\n"
        "| table | numbers | bytes/number | split | its share | encode, ms/MB | split | decode, ms/MB | split |\n"
        f"|---|---|{'---:|' * 7}"
    )
    for name, table in [*swept(arguments.pictures), *drawn(arguments.pictures)]:
        print(row(name, table, arguments.repeats), flush=True)


def swept(pictures: int) -> Iterator[tuple[str, pa.Table]]:
    """The tables of a shard of the demo's, norms in both formats."""
    options = {"limit": 2 * pictures, "shard_size": pictures, "device": "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("float32", "float16"):
            recipe = named_recipe("demo", {**options, "norms": kind})
            sweep = Sweep.of(recipe, Store(folder))
            run, _ = sweep.run(Runner(console=Console(file=io.StringIO())), until="directions")
            shard = min(run.done("effects"))
            yield f"demo, norms in {kind}", run.read("effects", "norms", shards=[shard])
        for stage, table in OTHERS:
            shard = min(run.done(stage))
            yield f"demo, {table}", run.read(stage, table, shards=[shard])


def drawn(pictures: int) -> Iterator[tuple[str, pa.Table]]:
    """Norms of ViT-B-32's shape in both formats."""
    dice = np.random.default_rng(0)
    scales = dice.normal(-3, 1, (LAYERS, 1, NEURONS))
    values = np.exp(scales + dice.normal(0, 0.5, (LAYERS, pictures, NEURONS)))
    nothing = [None] * pictures
    columns = {
        "index": range(pictures),
        "image": [f"n01440764/n01440764_{number}.JPEG" for number in range(pictures)],
        "label": nothing,
        "status": ["ok"] * pictures,
        "reason": nothing,
        "note": nothing,
    }
    for kind in ("float32", "float16"):
        numbers = pa.type_for_alias(kind)
        schema = tables.schema("norms", layers=range(LAYERS), neurons=NEURONS, numbers=numbers)
        plain = [pa.array(columns[name], schema.field(name).type) for name in columns]
        lists = [
            pa.FixedSizeListArray.from_arrays(pa.array(layer.astype(kind).ravel()), NEURONS)
            for layer in values
        ]
        table = pa.table([*plain, *lists], names=schema.names).cast(schema)
        yield f"ViT-B-32's shape, norms in {kind}", table


def row(name: str, table: pa.Table, repeats: int) -> str:
    """A row of the Markdown table."""
    ways = [encoded(table, split) for split in (False, True)]
    stored = ways.index(parquet.encode(table))  # an error says that this program is out of date
    encode = least({split: partial(encoded, table, split) for split in (False, True)}, repeats)
    decode = least(
        {split: partial(parquet.decode, ways[split]) for split in (False, True)}, repeats
    )
    numbers = sum(len(table[column].combine_chunks().flatten()) for column in lists_of(table))
    megabytes = table.nbytes / 1e6
    times = " | ".join(
        f"{1e3 * before / megabytes:.2f} | x {after / before:.2f}"
        for before, after in (encode.values(), decode.values())
    )
    each = [f"{len(data) / numbers:.3f}" for data in ways]
    each[stored] = f"**{each[stored]}**"
    share = len(ways[1]) / len(ways[0])
    return f"| {name} | {numbers:,} | {each[0]} | {each[1]} | {share:.1%} | {times} |"


def encoded(table: pa.Table, split: bool) -> bytes:
    """As `clipneuron.store.parquet.encode` has it, with its lists of floats split or plain."""
    sink = io.BytesIO()
    pq.write_table(
        table.combine_chunks(),
        sink,
        row_group_size=256,
        compression="zstd",
        write_statistics=True,
        write_page_checksum=True,
        use_dictionary=[name for name in table.column_names if name not in lists_of(table, True)],
        use_byte_stream_split=[f"{name}.list.element" for name in lists_of(table)]
        if split
        else False,
    )
    return sink.getvalue()


def lists_of(table: pa.Table, of_any: bool = False) -> list[str]:
    """The columns that hold lists of floats, or of anything."""
    return [
        field.name
        for field in table.schema
        if pa.types.is_nested(field.type)
        and (of_any or pa.types.is_floating(field.type.value_type))
    ]


if __name__ == "__main__":
    main()
