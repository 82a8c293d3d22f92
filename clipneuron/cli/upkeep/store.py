"""The commands that look after a store: verify, vacuum, tables. None of them needs a model or a cluster."""

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from clipneuron.cli.operations.runs import vacuum_runs
from clipneuron.cli.options.flags import add_run_name, chosen_run, runs_of
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import positive, seconds
from clipneuron.cli.units import progress_of, show_table
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted, duration, size

if TYPE_CHECKING:  # Arrow and rich take half a second to import, which --help is spared
    import pyarrow as pa
    from rich.table import Table

    from clipneuron.reports.consoles import Console
    from clipneuron.store.records import Commit
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
  clipneuron vacuum --store s3://runs --run vit_b_32 --keep-runs 3
      list the runs of a recipe that three later ones have replaced; --delete removes them whole
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
    parser.add_argument(
        "--keep-runs",
        type=positive,
        metavar="N",
        help="whole runs instead: those of one recipe (--run NAME, without fingerprint) but for the N complete ones "
        "last written to; never one that is in use, damaged, or was written to within --older-than",
    )
    parser.add_argument("--delete", action="store_true", help="remove it (default: only list it)")
    does = "list a run's tables, or the files of one"
    parser = add_command(commands, "tables", does, tables, epilog=TABLES_EXAMPLES)
    add_run_name(parser)
    parser.add_argument("table", nargs="?", metavar="TABLE", help="norms, or effects/norms")
    parser.add_argument("--schema", action="store_true", help="print its columns, not its files")


def verify(chosen: argparse.Namespace) -> int:
    """`clipneuron verify`: 1 when something is wrong."""
    wrong = [problem for run in runs_of(chosen) for problem in _verified(run, progress_of(chosen))]
    if wrong:
        print(REPAIR)
    return 1 if wrong else 0


def _verified(run: "Run | DamagedRun", console: "Console") -> list[str]:
    """What is wrong with the run, after saying so."""
    from clipneuron.engine.meters import meter
    from clipneuron.store import markers
    from clipneuron.store.upkeep import verification

    stages = run.objects.folders(markers.FOLDER)
    total = sum(len(markers.done(run.objects, stage)) for stage in stages)
    with meter(console, f"verify {run.name}", total, 0, "shards") as bar:
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
    if chosen.keep_runs is not None:
        return vacuum_runs(chosen)
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
    return _Seen.of(run).status("its shard keeps all that may belong to it")


def tables(chosen: argparse.Namespace) -> int:
    """`clipneuron tables`: 1 when a marker is damaged, whose shard is left out."""
    if chosen.schema and chosen.table is None:
        raise ValueError("--schema is asked of one table: name it, as in `tables norms`")
    run = chosen_run(chosen)
    seen = _Seen.of(run)
    if chosen.table is None:
        show_table(_tables_table(run, seen))
        return seen.status("its shard is left out")
    stage, name = _one_table(run, seen, chosen.table)
    if chosen.schema:
        print(_schema(_columns(run, seen, stage, name)))
        return 0
    for address in run.files(stage, name):
        print(address)
    return 0


def _schema(columns: "pa.Schema") -> str:
    """The columns of a table, a line each."""
    lines = []
    for field in columns:
        about = (field.metadata or {}).get(b"description", b"").decode()
        lines.append(f"{field.name:20} {field.type!s:24} {about}")
    return "\n".join(lines)


class _Seen(NamedTuple):
    """What a run has committed, and what is wrong with its records."""

    commits: "dict[str, Mapping[str, Commit]]"
    """By stage and shard, of the markers that can be read; in the order of the stages."""
    order: list[str]
    """What is wrong with the record of that order."""
    markers: list[str]

    @classmethod
    def of(cls, run: "Run") -> "_Seen":
        from clipneuron.store.errors import DamagedError

        known: tuple[str, ...] = ()
        commits: dict[str, Mapping[str, Commit]] = {}
        order, damaged = list[str](), list[str]()
        try:
            announced = run.announced()
            known = announced.stages if announced else ()
        except DamagedError as error:
            order.append(str(error))
        # Stages that were superseded when the collection grew come last.
        for stage in sorted(run.stages(), key=lambda stage: [*known, stage].index(stage)):
            commits[stage], problems = run.look(stage)
            damaged += problems
        return cls(commits, order, damaged)

    def status(self, consequence: str) -> int:
        """The exit status, after all damage was named."""
        problems = [*self.order, *(f"{problem} ({consequence})" for problem in self.markers)]
        for problem in problems:
            print(f"damaged: {problem}", file=sys.stderr)
        return 1 if problems else 0


def _garbage_line(run: "Run", item: "Garbage") -> str:
    what = " (a write that never ended)" if item.unfinished else ""
    return f"{run.objects.location(item.key)}  {size(item.size)}  {duration(item.age)} old{what}"


def _tables_table(run: "Run", seen: _Seen) -> "Table":
    from clipneuron.engine.stage import short_names

    right = ("rows", "files", "size", "columns")
    found = _tables_of(seen)
    names = short_names(stage for stage, *_ in found)
    rows = (
        (names[stage], name, f"{rows:,}", f"{files:,}", size(total), _width(run, seen, stage, name))
        for stage, name, rows, files, total in found
    )
    title = f"{run.name}: {run.url}"
    return terminal(
        title, ("stage", "table", *right), rows, right=right, spare=("columns", "files")
    )


def _width(run: "Run", seen: _Seen, stage: str, name: str) -> str:
    from clipneuron.store.errors import DamagedError

    try:
        return f"{len(_columns(run, seen, stage, name))}"
    except DamagedError:  # `clipneuron verify` says of which files that is true
        return "damaged"


def _columns(run: "Run", seen: _Seen, stage: str, name: str) -> "pa.Schema":
    """The columns of a table, by the first of its files; raises DamagedError where that cannot be read."""
    return run.schema_of(next(iter(seen.commits[stage].values())).stored(name))


def _tables_of(seen: _Seen) -> list[tuple[str, str, int, int, int]]:
    """Stage, table, rows, files and bytes."""
    found = []
    for stage, commits in seen.commits.items():
        sums: dict[str, tuple[int, int, int]] = {}
        for commit in commits.values():
            for stored in commit.objects:
                rows, files, total = sums.get(stored.table, (0, 0, 0))
                sums[stored.table] = (rows + stored.rows, files + 1, total + stored.size)
        found += [(stage, name, *figures) for name, figures in sums.items()]
    return found


def _one_table(run: "Run", seen: _Seen, asked: str) -> tuple[str, str]:
    """Stage and name of the table that was asked for, with its stage or alone; stages as the tables show them."""
    from clipneuron.engine.stage import short_names

    stage, slash, name = asked.rpartition("/")
    everything = [(place, table) for place, table, *_ in _tables_of(seen)]
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
