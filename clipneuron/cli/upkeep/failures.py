"""`clipneuron failures`: what could not be used or done in a run, and why; from its store alone."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clipneuron.cli.options.flags import add_run_address, run_at
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.units import show_table
from clipneuron.reports.markup import csv, terminal
from clipneuron.reports.printing import pass_on, print
from clipneuron.reports.quantities import counted

if TYPE_CHECKING:  # Arrow comes with the store, which --help is spared
    from clipneuron.store.store import Run

EXAMPLES = """\
examples:
  clipneuron failures --store demo-run
      the causes with how often, and every picture with its shard, status and reason
  clipneuron failures s3://runs/vit_b_32-1f0c --table
      the same as CSV; the run may be given by its address, as messages have it
  clipneuron failures --store demo-run --table failures.parquet
      as a file: .csv or .parquet
"""
ATTEMPTS = "attempts"
"""The status of a row that is about a whole shard, all attempts at which have failed so far."""


class Row(NamedTuple):
    """A picture (or another row) that failed, or a whole shard that did."""

    stages: str
    shard: str
    picture: str
    status: str
    reason: str


def add_commands(commands: Any) -> None:
    """failures."""
    does = "list what could not be used or done in a run, with shard, picture, status and reason"
    parser = add_command(commands, "failures", does, failures, epilog=EXAMPLES)
    add_run_address(parser)
    parser.add_argument(
        "--table",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write all rows as a table, .csv or .parquet; without FILE, print them as CSV",
    )


def failures(chosen: argparse.Namespace) -> int:
    """`clipneuron failures`."""
    if chosen.table and chosen.table != "-":
        _check_suffix(Path(chosen.table))
    run = run_at(chosen)
    rows = _rows(run)
    if chosen.table == "-":
        pass_on(csv(Row._fields, rows).decode())
    elif chosen.table:
        _write(rows, Path(chosen.table))
        print(f"{counted(len(rows), 'rows')}: {chosen.table}")
    elif rows:
        _show(run, rows)
    else:
        print(f"{run.name}: nothing failed")
    return 0


def _rows(run: "Run") -> list[Row]:
    """All failures; what several stages say alike of a picture is one row."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    stages = run.stages()
    for stage in sorted({*stages, *run.stages_with_failures()}):
        for row in (*_of_rows(run, stage), *_of_shards(run, stage)):
            found.setdefault(row, []).append(stage)
    order = {stage: place for place, stage in enumerate(_order(run))}
    last = len(order)
    return [
        Row(", ".join(sorted(there, key=lambda stage: order.get(stage, last))), *row)
        for row, there in found.items()
    ]


def _order(run: "Run") -> tuple[str, ...]:
    announced = run.announced()
    return announced.stages if announced else ()


def _of_rows(run: "Run", stage: str) -> Iterator[tuple[str, str, str, str]]:
    for shard, commit in run.committed(stage).items():
        for failure in commit.failures:
            yield shard, failure.image, failure.status, failure.reason


def _of_shards(run: "Run", stage: str) -> Iterator[tuple[str, str, str, str]]:
    """Shards of which attempts failed and that are not done after all."""
    done = run.done(stage)
    for shard, attempts in run.failures(stage).items():
        if shard not in done:
            yield shard, "", ATTEMPTS, f"{attempts[-1].error} (attempt {len(attempts)})"


def _show(run: "Run", rows: list[Row]) -> None:
    from clipneuron.store.records import Failure
    from clipneuron.store.upkeep.causes import causes

    failed = [Failure(row.picture or row.shard, row.status, row.reason) for row in rows]
    print(f"{run.name}: {counted(len(rows), 'failures')}")
    for cause in causes(failed):
        print(f"  {cause}")
    headings = ("stages", "shard", "picture", "status", "reason")
    show_table(terminal("Failures", headings, rows))


def _check_suffix(path: Path) -> None:
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"--table {path}: expected a name that ends in .csv or .parquet")


def _write(rows: list[Row], path: Path) -> None:
    if path.suffix == ".csv":
        path.write_bytes(csv(Row._fields, rows))
        return
    import pyarrow as pa

    from clipneuron.store import parquet

    schema = pa.schema([(name, pa.string()) for name in Row._fields])
    table = pa.Table.from_pylist([row._asdict() for row in rows], schema=schema)
    path.write_bytes(parquet.encode(table))
