"""`clipneuron runs`: the runs of a store beside each other; and `vacuum --keep-runs`, which removes old ones whole."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from clipneuron.cli.noticing import shown_command
from clipneuron.cli.options.flags import add_store
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.units import show_table
from clipneuron.config.overlap import BusyError
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted, duration, size

if TYPE_CHECKING:  # Arrow takes half a second to import, which --help is spared
    from rich.table import Table

    from clipneuron.operations.schedule.retention import RunLook

EXAMPLES = """\
exit status: 0, or 1 where something is damaged (which is named)

examples:
  clipneuron runs --store demo-run
      every run with its age, size and completeness, and who is at work on it
  clipneuron vacuum --store s3://runs --run vit_b_32 --keep-runs 3
      which runs of a recipe later ones have replaced
"""


def add_commands(commands: Any) -> None:
    """runs."""
    does = "list the runs of a store with their ages, sizes and completeness"
    add_store(add_command(commands, "runs", does, runs, epilog=EXAMPLES))


def runs(chosen: argparse.Namespace) -> int:
    """`clipneuron runs`."""
    from clipneuron.operations.schedule.retention import look
    from clipneuron.store.store import Store

    store = Store(chosen.store)
    found = look(store)
    if not found:
        print(f"there is no run in {store.objects.url} yet")
        return 0
    show_table(_table(store.objects.url, found))
    for seen in found:
        if seen.lease:
            print(f"at work on {seen.name}: {seen.lease.who}")
    problems = [problem for seen in found for problem in seen.status.damaged]
    for problem in problems:
        print(f"damaged: {problem}")
    return 1 if problems else 0


def vacuum_runs(chosen: argparse.Namespace) -> int:
    """`clipneuron vacuum --keep-runs`: removes nothing without --delete; 1 where a run could not be removed."""
    from clipneuron.operations.schedule.retention import in_use, look, of_recipe, replaced
    from clipneuron.store.store import Store

    found = of_recipe(look(Store(chosen.store)), chosen.run)
    old = replaced(found, chosen.keep_runs)
    todo = [seen for seen in old if not in_use(seen, chosen.older_than)]
    for seen in old:
        why = in_use(seen, chosen.older_than)
        print(_line(seen) + (f"; stays, since {why}" if why else ""))
    total = f"{counted(len(todo), 'runs')}, {size(sum(seen.size for seen in todo))}"
    if not chosen.delete:
        more = ": --delete removes them" if todo else ""
        print(f"{total} of {counted(len(found), 'runs')} of the recipe{more}", file=sys.stderr)
        return 0
    removed = [_remove(seen) for seen in todo]
    print(f"{sum(removed):,} of {total} removed", file=sys.stderr)
    return 0 if all(removed) else 1


def _remove(seen: "RunLook") -> bool:
    """Whether the run is gone, after saying so if it is not."""
    from clipneuron.operations.schedule.retention import remove
    from clipneuron.store.errors import StoreError

    try:
        remove(seen, shown_command())
    except (BusyError, StoreError) as error:
        print(f"not removed: {error}", file=sys.stderr)
        return False
    return True


def _line(seen: "RunLook") -> str:
    parts = (counted(seen.objects, "objects"), size(seen.size), f"{duration(seen.age)} old")
    return "  ".join([seen.run.objects.url, *parts, _state(seen)])


def _table(url: str, found: "list[RunLook]") -> "Table":
    right = ("done", "objects", "size", "last written")
    rows = ((seen.name, _state(seen), *_cells(seen)) for seen in found)
    headings = ("run", "state", "begun", *right)
    return terminal(f"Runs: {url}", headings, rows, right=right, spare=("objects", "begun"))


def _cells(seen: "RunLook") -> tuple[str, ...]:
    begun = f"{seen.begun:%Y-%m-%d %H:%M} UTC" if seen.begun else "-"
    done = "-" if seen.share is None else f"{int(100 * seen.share)} %"
    return begun, done, f"{seen.objects:,}", size(seen.size), f"{duration(seen.age)} ago"


def _state(seen: "RunLook") -> str:
    if seen.status.damaged:
        return "damaged"
    if seen.status.complete:
        return "complete"
    following = seen.status.next
    return following.state if following else "begun"
