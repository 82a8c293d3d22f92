"""The commands that look after a store: verify, vacuum, tables. None of them needs a model or a cluster."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from clipneuron.cli.options.flags import add_run_name, chosen_run, runs_of
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import seconds
from clipneuron.cli.units import show_table
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted, duration, size

if TYPE_CHECKING:  # Arrow and rich take half a second to import, which --help is spared
    import pyarrow as pa
    from rich.table import Table

    from clipneuron.store.errors import DamagedError
    from clipneuron.store.store import DamagedRun, Run
    from clipneuron.store.upkeep.garbage import Garbage
    from clipneuron.store.upkeep.verification import Verification

VERIFY_EXAMPLES = """\
exit status: 0 all is well, 1 something is wrong

examples:
  clipneuron verify --store demo-run
      read every committed byte of every run again and compare it with what the markers say
  clipneuron verify --store s3://runs --run vit_b_32
      of one run only
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
  1. Of a damaged object, delete the marker that names it (commits/{stage}/{shard}.json in the run, by rm or
     `aws s3 rm`); a damaged marker, or another damaged record (.json), itself. Objects may stay: nothing names them
     then, and `clipneuron vacuum` removes them.
  2. Give the run's own command again (with --extend where the run was extended): only these shards are computed
     again, from the same pictures and weights, and the other records are written again.
Stages that had read a damaged object keep their commits, rightly: what a stage reads is compared with its digest or
page checksums, so they saw it before it was damaged. On another device the new numbers differ by roundings.
Only the plan is made from the collection as it is now: if that has changed since, restore the old files or start
another run.
"""


def add_commands(commands: Any) -> None:
    """verify, vacuum, tables."""
    does = "read everything that is committed again and print what is damaged, and its repair"
    parser = add_command(commands, "verify", does, verify, epilog=VERIFY_EXAMPLES)
    add_run_name(parser, otherwise="all of them")
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
    wrong = [problem for run in runs_of(chosen) for problem in _verified(run)]
    if wrong:
        print(REPAIR)
    return 1 if wrong else 0


def _verified(run: "Run | DamagedRun") -> list[str]:
    """What is wrong with the run, after saying so."""
    from clipneuron.engine.meters import meter
    from clipneuron.reports.consoles import Console
    from clipneuron.store import markers
    from clipneuron.store.upkeep import verification

    stages = run.objects.folders(markers.FOLDER)
    total = sum(len(markers.done(run.objects, stage)) for stage in stages)
    with meter(Console(file=sys.stderr), f"verify {run.name}", total, 0, "shards") as bar:
        found = verification.of_run(run.objects, advance=lambda objects: bar.advance(1))
    for problem in found.problems:
        print(problem)
    print(f"{run.name}: {_outcome(found)}")
    return found.problems


def _outcome(found: "Verification") -> str:
    commits = counted(found.commits, "commits")
    if found.problems:
        return f"{counted(len(found.problems), 'problems')} in {commits}"
    if not found.without_digest:
        return f"all objects of {commits} are as they were committed"
    return (
        f"all objects of {commits} are as they were committed; {counted(found.without_digest, 'markers')} without a "
        "digest (an older version's: rows and failed rows agree with the objects, the rest cannot be checked)"
    )


def vacuum(chosen: argparse.Namespace) -> int:
    """`clipneuron vacuum`: removes nothing without --delete."""
    run = chosen_run(chosen)
    found = run.garbage(chosen.older_than)
    for item in found:
        print(_garbage_line(run, item))
    total = f"{counted(len(found), 'objects')}, {size(sum(item.size for item in found))}"
    if chosen.delete:
        print(f"{run.remove(found):,} of {total} removed", file=sys.stderr)
    else:
        more = ": --delete removes them" if found else ""
        print(f"{total}, older than {duration(chosen.older_than)}{more}", file=sys.stderr)
    return _told_damage(run, "its shard keeps all that may belong to it")


def tables(chosen: argparse.Namespace) -> int:
    """`clipneuron tables`: 1 when a marker is damaged, whose shard is left out."""
    run = chosen_run(chosen)
    if chosen.table is None:
        if chosen.schema:
            raise ValueError("--schema is asked of one table: name it, as in `tables norms`")
        show_table(_tables_table(run))
        return _told_damage(run, "its shard is left out")
    stage, name = _one_table(run, chosen.table)
    if chosen.schema:
        print(_schema(run, stage, name))
        return 0
    for address in run.files(stage, name):
        print(address)
    return 0


def _schema(run: "Run", stage: str, name: str) -> str:
    """The columns of a table, a line each."""
    lines = []
    for field in _columns(run, stage, name):
        about = (field.metadata or {}).get(b"description", b"").decode()
        lines.append(f"{field.name:20} {field.type!s:24} {about}")
    return "\n".join(lines)


def _told_damage(run: "Run", consequence: str) -> int:
    """The exit status, after what is wrong with the order of the stages and with markers was named."""
    order = _order(run)
    problems = [] if isinstance(order, tuple) else [str(order)]
    markers = (problem for stage in run.stages() for problem in run.look(stage)[1])
    problems += [f"{problem} ({consequence})" for problem in markers]
    for problem in problems:
        print(f"damaged: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _garbage_line(run: "Run", item: "Garbage") -> str:
    what = " (a write that never ended)" if item.unfinished else ""
    return f"{run.objects.location(item.key)}  {size(item.size)}  {duration(item.age)} old{what}"


def _tables_table(run: "Run") -> "Table":
    from clipneuron.engine.stage import short_names

    right = ("rows", "files", "size", "columns")
    found = _tables_of(run)
    names = short_names(stage for stage, *_ in found)
    rows = (
        (names[stage], name, f"{rows:,}", f"{files:,}", size(total), _width(run, stage, name))
        for stage, name, rows, files, total in found
    )
    title = f"{run.name}: {run.url}"
    return terminal(
        title, ("stage", "table", *right), rows, right=right, spare=("columns", "files")
    )


def _width(run: "Run", stage: str, name: str) -> str:
    from clipneuron.store.errors import DamagedError

    try:
        return f"{len(_columns(run, stage, name))}"
    except DamagedError:  # `clipneuron verify` says of which files that is true
        return "damaged"


def _columns(run: "Run", stage: str, name: str) -> "pa.Schema":
    """The columns of a table, by the first of its files that can be read; raises DamagedError where none can."""
    commits, _ = run.look(stage)
    files = [commit.stored(name) for commit in commits.values()]
    return run.schema_of(files[0])


def _order(run: "Run") -> "tuple[str, ...] | DamagedError":
    """The stages in their order, none where no driver has recorded it."""
    from clipneuron.store.errors import DamagedError

    try:
        order = run.announced()
    except DamagedError as error:
        return error
    return order.stages if order else ()


def _tables_of(run: "Run") -> list[tuple[str, str, int, int, int]]:
    """Stage, table, rows, files and bytes, in the order of the stages; of the markers that can be read."""
    order = _order(run)
    known = order if isinstance(order, tuple) else ()
    # Stages that were superseded when the collection grew come last.
    names = sorted(run.stages(), key=lambda stage: [*known, stage].index(stage))
    found = []
    for stage in names:
        sums: dict[str, tuple[int, int, int]] = {}
        for commit in run.look(stage)[0].values():
            for stored in commit.objects:
                rows, files, total = sums.get(stored.table, (0, 0, 0))
                sums[stored.table] = (rows + stored.rows, files + 1, total + stored.size)
        found += [(stage, name, *figures) for name, figures in sums.items()]
    return found


def _one_table(run: "Run", asked: str) -> tuple[str, str]:
    """Stage and name of the table that was asked for, with its stage or alone; stages as the tables show them."""
    from clipneuron.engine.stage import short_names

    stage, slash, name = asked.rpartition("/")
    everything = [(place, table) for place, table, *_ in _tables_of(run)]
    short = short_names(place for place, _ in everything)
    found = [(place, table) for place, table in everything if table == name]
    chosen = [pair for pair in found if stage in (pair[0], short[pair[0]])] if slash else found
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        places = ", ".join(f"{short[place]}/{table}" for place, table in chosen)
        raise ValueError(f"the table {name!r} is in {len(chosen)} stages: name one of {places}")
    there = ", ".join(f"{short[place]}/{table}" for place, table in everything)
    raise ValueError(f"run {run.name} has no table {asked!r}; it has {there or 'none yet'}")
