"""The commands that look after a store: verify, vacuum, tables. None of them needs a model or a cluster."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from clipneuron.cli.flags import add_run_name, chosen_run
from clipneuron.cli.parser import add_command
from clipneuron.cli.units import duration, show_table, size
from clipneuron.cli.values import seconds
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print

if TYPE_CHECKING:  # Arrow and rich take half a second to import, which --help is spared
    from rich.table import Table

    from clipneuron.store.garbage import Garbage
    from clipneuron.store.store import Run

VERIFY_EXAMPLES = """\
exit status: 0 all is well, 1 something is wrong

examples:
  clipneuron verify --store demo-run
      read every committed byte again and compare it with what the markers say
"""
VACUUM_EXAMPLES = """\
examples:
  clipneuron vacuum --store demo-run
      list what no commit names and is older than a day; nothing is removed
  clipneuron vacuum --store s3://runs --run vit_b_32 --older-than 7d --delete
      remove what is older than a week
"""
TABLES_EXAMPLES = """\
examples:
  clipneuron tables --store demo-run
      the tables with their stages, rows, files and sizes
  clipneuron tables --store demo-run descriptions --schema
      what its columns mean
  clipneuron tables --store demo-run effects/norms
      the addresses of its files, a line each; STAGE/TABLE where stages share a table's name
  clipneuron tables --store demo-run directions | xargs python my_program.py
"""
REPAIR = """
What to do:
  1. Delete the marker of each shard above (commits/{stage}/{shard}.json in the run, by rm or `aws s3 rm`).
     The damaged object itself may stay: nothing names it then, and `clipneuron vacuum` removes it.
  2. Give the run's own command again (with --extend where the run was extended): only these shards are computed
     again, from the same pictures and weights.
Stages that had read a damaged object keep their commits, rightly: what a stage reads is compared with its digest or
page checksums, so they saw it before it was damaged. On another device the new numbers differ by roundings.
Only the plan is made from the collection as it is now: if that has changed since, restore the old files or start
another run.
"""


def add_commands(commands: Any) -> None:
    """verify, vacuum, tables."""
    does = "read everything that is committed again and print what is damaged, and its repair"
    add_run_name(add_command(commands, "verify", does, verify, epilog=VERIFY_EXAMPLES))
    does = "list or remove what no commit names: what is left of attempts that died or came second"
    parser = add_command(commands, "vacuum", does, vacuum, epilog=VACUUM_EXAMPLES)
    add_run_name(parser)
    parser.add_argument(
        "--older-than",
        type=seconds,
        default=86400.0,
        metavar="SPAN",
        help="by the store's clock: 90s, 30m, 24h, 7d; longer than any attempt takes (default: 24h)",
    )
    parser.add_argument("--delete", action="store_true", help="remove it (default: only list it)")
    does = "list a run's tables, or the files of one"
    parser = add_command(commands, "tables", does, tables, epilog=TABLES_EXAMPLES)
    add_run_name(parser)
    parser.add_argument("table", nargs="?", metavar="TABLE", help="norms, or effects/norms")
    parser.add_argument("--schema", action="store_true", help="print its columns, not its files")


def verify(chosen: argparse.Namespace) -> int:
    """`clipneuron verify`: 1 when something is wrong."""
    from clipneuron.engine.meters import meter
    from clipneuron.reports.consoles import Console

    run = chosen_run(chosen)
    total = sum(len(run.done(stage)) for stage in run.stages())
    with meter(Console(file=sys.stderr), "verify", total, 0, "shards") as bar:
        problems = run.verify(advance=lambda objects: bar.advance(1))
    for problem in problems:
        print(problem)
    if problems:
        print(REPAIR)
        return 1
    print(f"{run.name}: all objects of {total:,} commits are as they were committed")
    return 0


def vacuum(chosen: argparse.Namespace) -> int:
    """`clipneuron vacuum`: removes nothing without --delete."""
    run = chosen_run(chosen)
    found = run.garbage(chosen.older_than)
    for item in found:
        print(_garbage_line(run, item))
    total = f"{len(found):,} objects, {size(sum(item.size for item in found))}"
    if not chosen.delete:
        more = ": --delete removes them" if found else ""
        print(f"{total}, older than {duration(chosen.older_than)}{more}", file=sys.stderr)
        return 0
    print(f"{run.remove(found):,} of {total} removed", file=sys.stderr)
    return 0


def tables(chosen: argparse.Namespace) -> int:
    """`clipneuron tables`."""
    run = chosen_run(chosen)
    if chosen.table is None:
        if chosen.schema:
            raise ValueError("--schema is asked of one table: name it, as in `tables norms`")
        show_table(_tables_table(run))
        return 0
    stage, name = _one_table(run, chosen.table)
    if chosen.schema:
        for field in run.dataset(stage, name).schema:
            about = (field.metadata or {}).get(b"description", b"").decode()
            print(f"{field.name:20} {field.type!s:24} {about}")
        return 0
    for address in run.files(stage, name):
        print(address)
    return 0


def _garbage_line(run: "Run", item: "Garbage") -> str:
    what = " (a write that never ended)" if item.unfinished else ""
    return f"{run.objects.location(item.key)}  {size(item.size)}  {duration(item.age)} old{what}"


def _tables_table(run: "Run") -> "Table":
    right = ("rows", "files", "size", "columns")
    rows = (
        (stage, name, f"{rows:,}", f"{files:,}", size(total), _width(run, stage, name))
        for stage, name, rows, files, total in _tables_of(run)
    )
    title = f"{run.name}: {run.url}"
    return terminal(title, ("stage", "table", *right), rows, right=right)


def _width(run: "Run", stage: str, name: str) -> str:
    return f"{len(run.dataset(stage, name).schema)}"


def _tables_of(run: "Run") -> list[tuple[str, str, int, int, int]]:
    """Stage, table, rows, files and bytes, in the order of the stages."""
    order = run.announced()
    known = order.stages if order else ()
    # Stages that were superseded when the collection grew come last.
    names = sorted(run.stages(), key=lambda stage: [*known, stage].index(stage))
    found = []
    for stage in names:
        sums: dict[str, tuple[int, int, int]] = {}
        for commit in run.committed(stage).values():
            for stored in commit.objects:
                rows, files, total = sums.get(stored.table, (0, 0, 0))
                sums[stored.table] = (rows + stored.rows, files + 1, total + stored.size)
        found += [(stage, name, *figures) for name, figures in sums.items()]
    return found


def _one_table(run: "Run", asked: str) -> tuple[str, str]:
    stage, slash, name = asked.rpartition("/")
    found = [(place, table) for place, table, *_ in _tables_of(run) if table == name]
    chosen = [pair for pair in found if pair[0] == stage] if slash else found
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        places = ", ".join("/".join(pair) for pair in chosen)
        raise ValueError(f"the table {name!r} is in {len(chosen)} stages: name one of {places}")
    there = ", ".join(f"{place}/{table}" for place, table, *_ in _tables_of(run))
    raise ValueError(f"run {run.name} has no table {asked!r}; it has {there or 'none yet'}")
