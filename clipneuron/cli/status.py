"""`clipneuron status`: how far runs are, from their store alone."""

import argparse
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from clipneuron.cli.flags import add_run_name, chosen_run
from clipneuron.cli.parser import add_command
from clipneuron.cli.units import duration, show_table
from clipneuron.cli.values import number
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print

if TYPE_CHECKING:  # Arrow and rich take half a second to import, which --help is spared
    from rich.table import Table

    from clipneuron.engine.status import RunStatus, StageStatus

EXAMPLES = """\
exit status: 0 complete, 3 not complete yet, 1 error

examples:
  clipneuron status --store demo-run
      how far the run is, stage by stage; a line per run if there are several
  clipneuron status --store s3://runs --run vit_b_32 --watch
      the same again every 10 seconds until it is complete
  until clipneuron status --store s3://runs --run vit_b_32; do sleep 600; done
      wait in a script (an error, status 1, is waited for as well)
"""
WATCH_SECONDS = 10.0
INCOMPLETE = 3


def add_commands(commands: Any) -> None:
    """status."""
    does = "print how far a run is, from its store alone"
    parser = add_command(commands, "status", does, status, epilog=EXAMPLES)
    add_run_name(parser, otherwise="a line per run")
    parser.add_argument(
        "--watch",
        type=number,
        nargs="?",
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help="look again every so often until the run is complete (default: 10)",
    )


def status(chosen: argparse.Namespace) -> int:
    """`clipneuron status`: 0 when all that was asked for is complete, 3 when it is not."""
    found = _look(chosen)
    try:
        while chosen.watch and not all(item.complete for item in found):
            time.sleep(chosen.watch)
            found = _look(chosen)
    except KeyboardInterrupt:
        pass
    return 0 if all(item.complete for item in found) else INCOMPLETE


def _look(chosen: argparse.Namespace) -> "list[RunStatus]":
    from clipneuron.engine.status import status_of
    from clipneuron.store.store import Store

    runs = [] if chosen.run else Store(chosen.store).runs()
    if len(runs) > 1:
        found = [status_of(run) for run in runs]
        show_table(_runs_table(found))
        return found
    one = status_of(chosen_run(chosen))
    show_table(_stages_table(one))
    print(_summary(one))
    return [one]


def _stages_table(found: "RunStatus") -> "Table":
    from clipneuron.engine.status import now

    present = now()
    right = ("shards", "in flight", "quarantined", "rows", "failed rows", "rate", "left")
    rows = (_stage_cells(stage, present) for stage in found.stages)
    return terminal(found.name, ("stage", "state", *right), rows, right=right)


def _stage_cells(stage: "StageStatus", present: float) -> tuple[str, ...]:
    return (
        stage.name,
        stage.state,
        "-" if stage.shards is None else f"{stage.done:,}/{stage.shards:,}",
        _count(stage.in_flight),
        _count(stage.quarantined),
        _count(stage.rows, f" {stage.unit}"),
        f"{'at least ' if stage.unseen else ''}{stage.failed_rows:,}",
        f"{stage.rate:,.1f}/s" if stage.rate else "-",
        duration(stage.remaining(present)),
    )


def _runs_table(found: "Iterable[RunStatus]") -> "Table":
    return terminal("Runs", ("run", "state", "at", "last commit"), map(_run_cells, found))


def _run_cells(run: "RunStatus") -> tuple[str, ...]:
    stage = run.next
    state = "complete" if run.complete else stage.state if stage else "begun"
    return run.name, state, _place(stage), _age(run)


def _summary(found: "RunStatus") -> str:
    if found.complete:
        return f"complete; last commit {_age(found)}"
    stage = found.next
    line = f"not complete; {_place(stage) or 'no stage is known yet'}; last commit {_age(found)}"
    if stage and stage.quarantined:
        line += (
            f"\n{stage.quarantined:,} shards of {stage.name} are in quarantine after too many failed attempts: "
            "`clipneuron retry-failed` lets them be tried again"
        )
    return line


def _place(stage: "StageStatus | None") -> str:
    if stage is None:
        return ""
    return f"{'now' if stage.state == 'running' else 'next'}: {stage.name}"


def _age(found: "RunStatus") -> str:
    from clipneuron.engine.status import now

    return "none yet" if found.last is None else f"{duration(max(0.0, now() - found.last))} ago"


def _count(number: int, unit: str = "") -> str:
    return f"{number:,}{unit}" if number else "-"
