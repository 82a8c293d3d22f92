"""`clipneuron status`: how far runs are, from their store alone."""

import argparse
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from clipneuron.cli.options.flags import add_run_name, runs_of
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import above_zero
from clipneuron.cli.units import show_table
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted, duration, per_second

if TYPE_CHECKING:  # Arrow and rich take half a second to import, which --help is spared
    from rich.table import Table

    from clipneuron.engine.status import RunStatus, StageStatus

EXAMPLES = """\
exit status: 0 complete, 3 not complete yet, 1 error or something damaged (which is named; the rest is shown)

examples:
  clipneuron status --store demo-run
      how far the run is, stage by stage; a line per run if there are several
  clipneuron status --store s3://runs --run vit_b_32 --watch
      the same again every 10 seconds until it is complete
  until clipneuron status --store s3://runs --run vit_b_32; do sleep 600; done
      wait in a script (an error, status 1, is waited for as well)
"""
WATCH_SECONDS = 10.0
_LONGEST = 86_400.0
"""Seconds between two looks."""
DAMAGED, INCOMPLETE = 1, 3


def add_commands(commands: Any) -> None:
    """status."""
    does = "print how far a run is, from its store alone"
    parser = add_command(commands, "status", does, status, epilog=EXAMPLES)
    add_run_name(parser, otherwise="a line per run")
    parser.add_argument(
        "--watch",
        type=above_zero,
        nargs="?",
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help="look again every so often until the run is complete (default: 10)",
    )


def status(chosen: argparse.Namespace) -> int:
    """`clipneuron status`: 0 when all that was asked for is complete, 3 when it is not, 1 when a record is damaged."""
    found = _look(chosen)
    try:
        while chosen.watch and not all(item.complete for item in found):
            time.sleep(min(chosen.watch, _LONGEST))
            found = _look(chosen)
    except KeyboardInterrupt:
        pass
    if any(item.damaged for item in found):
        return DAMAGED
    return 0 if all(item.complete for item in found) else INCOMPLETE


def _look(chosen: argparse.Namespace) -> "list[RunStatus]":
    from clipneuron.engine.status import status_of

    found = [status_of(run) for run in runs_of(chosen)]
    if len(found) > 1:
        show_table(_runs_table(found))
    else:
        show_table(_stages_table(found[0]))
        print(_summary(found[0]))
    for problem in (problem for run in found for problem in run.damaged):
        print(f"damaged: {problem}")
    return found


def _stages_table(found: "RunStatus") -> "Table":
    from clipneuron.engine.status import now

    present, names = now(), _short(found)
    # The last column, which most runs do without.
    cached = ("cached",) if any(stage.cached_rows for stage in found.stages) else ()
    right = ("shards", "in flight", "quarantined", "rows", "failed rows", "rate", "left", *cached)
    cells = (_stage_cells(stage, present)[: 1 + len(right)] for stage in found.stages)
    rows = ((names[stage.name], *row) for stage, row in zip(found.stages, cells, strict=True))
    spare = ("failed rows", "in flight", "rows", "rate", *cached, "quarantined")
    return terminal(found.name, ("stage", "state", *right), rows, right=right, spare=spare)


def _stage_cells(stage: "StageStatus", present: float) -> tuple[str, ...]:
    return (
        stage.state,
        "-" if stage.shards is None else f"{stage.done:,}/{stage.shards:,}",
        _count(stage.in_flight),
        _count(stage.quarantined),
        counted(stage.rows, stage.unit) if stage.rows else "-",
        f"{_at_least(stage)}{stage.failed_rows:,}",
        per_second(stage.rate),
        duration(stage.remaining(present)),
        f"{_at_least(stage)}{stage.cached_rows:,}" if stage.cached_rows else "-",
    )


def _at_least(stage: "StageStatus") -> str:
    return "at least " if stage.unseen else ""


def _runs_table(found: "Iterable[RunStatus]") -> "Table":
    headings = ("run", "state", "at", "last commit")
    return terminal("Runs", headings, map(_run_cells, found), spare=("last commit", "at"))


def _run_cells(run: "RunStatus") -> tuple[str, ...]:
    state = "damaged" if run.damaged else "complete" if run.complete else _state(run.next)
    return run.name, state, _place(run), _age(run)


def _summary(found: "RunStatus") -> str:
    if found.complete:
        return f"complete; last commit {_age(found)}"
    stage = found.next
    line = f"not complete; {_place(found) or 'no stage is known yet'}; last commit {_age(found)}"
    if stage and stage.quarantined:
        shards = f"{counted(stage.quarantined, 'shards')} of {_short(found)[stage.name]}"
        line += (
            f"\nin quarantine after too many failed attempts: {shards}; "
            "`clipneuron retry-failed` has them tried again"
        )
    return line


def _state(stage: "StageStatus | None") -> str:
    return stage.state if stage else "begun"


def _place(found: "RunStatus") -> str:
    """The stage that it is at."""
    if found.next is None:
        return ""
    when = "now" if found.next.state == "running" else "next"
    return f"{when}: {_short(found)[found.next.name]}"


def _short(found: "RunStatus") -> dict[str, str]:
    from clipneuron.engine.stage import short_names

    return short_names(stage.name for stage in found.stages)


def _age(found: "RunStatus") -> str:
    from clipneuron.engine.status import now

    return "none yet" if found.last is None else f"{duration(max(0.0, now() - found.last))} ago"


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"
