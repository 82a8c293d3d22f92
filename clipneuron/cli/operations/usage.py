"""`clipneuron usage`: what a run took, from its store alone, and what that costs."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from clipneuron.cli.options.flags import add_run_address, run_at
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import price
from clipneuron.cli.units import show_table
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted, duration, size

if TYPE_CHECKING:  # Arrow and rich take half a second to import, which --help is spared
    from rich.table import Table

    from clipneuron.operations.usage.accounts import Amounts, RunUsage, StageUsage
    from clipneuron.operations.usage.forecasts import Foretold
    from clipneuron.operations.usage.prices import Prices

EXAMPLES = """\
examples:
  clipneuron usage --store demo-run
      core-seconds, GPU-seconds, bytes and requests, stage by stage, beside what `plan` foretold
  clipneuron usage s3://runs/vit_b_32-1f0c --core-hour 0.04 --gpu-hour 0.80 --gb-month 0.023
      and what it cost, by stage and per million pictures, at your prices
  clipneuron usage --store demo-run --json
      for programs
"""
MILLION = 1_000_000
PRICES = {
    "core_hour": "of a core for an hour",
    "gpu_hour": "of a GPU for an hour, without the cores that are paid by --core-hour",
    "thousand_writes": "of a thousand requests that write",
    "gb_month": "of a GB stored for a month",
}


def add_commands(commands: Any) -> None:
    """usage."""
    does = "print what a run took: cores, GPUs, bytes, requests and, at your prices, what it cost"
    parser = add_command(commands, "usage", does, usage, epilog=EXAMPLES)
    add_run_address(parser)
    group: Any = parser.add_argument_group("prices, in any one currency (default: none)")
    for name, about in PRICES.items():
        option = "--" + name.replace("_", "-")
        group.add_argument(option, type=price, default=0.0, metavar="PRICE", help=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def usage(chosen: argparse.Namespace) -> int:
    """`clipneuron usage`: 1 when a marker is damaged, whose shard is left out."""
    from clipneuron.operations.usage.accounts import usage_of
    from clipneuron.operations.usage.prices import Prices

    found = usage_of(run_at(chosen))
    prices = Prices(**{name: getattr(chosen, name) for name in PRICES})
    if chosen.json:
        print(json.dumps(_object(found, prices), indent=1))
    else:
        show_table(_table(found, prices))
        if any(stage.foretold for stage in found.stages):
            show_table(_beside(found))
        print(_summary(found, prices))
    for problem in found.damaged:
        where = sys.stderr if chosen.json else sys.stdout
        print(f"damaged: {problem} (its shard is left out)", file=where)
    return 1 if found.damaged else 0


def _table(found: "RunUsage", prices: "Prices") -> "Table":
    from clipneuron.engine.stage import short_names

    # The last column, which most runs do without.
    cached = ("cached",) if found.total.cached else ()
    right = (
        *("rows", "core time", "used", "GPU time", "reading", "read", "written", "reads", "writes"),
        *("cost", *cached),
    )
    names = short_names(stage.name for stage in found.stages)
    cells = {names[stage.name]: _cells(stage.amounts, prices, stage) for stage in found.stages}
    cells["all"] = _cells(found.total, prices)
    rows = [(name, *row[: len(right)]) for name, row in cells.items()]
    spare = ("reads", "writes", "reading", "used", "rows", *cached)
    return terminal(
        found.name, ("stage", *right), rows, right=right, sections=[len(rows) - 1], spare=spare
    )


def _cells(
    amounts: "Amounts", prices: "Prices", stage: "StageUsage | None" = None
) -> tuple[str, ...]:
    used = amounts.utilisation
    return (
        counted(amounts.rows, stage.unit) if stage and amounts.rows else "-",
        _time(amounts.core_seconds),
        "-" if used is None else f"{used:.0%}",
        _time(amounts.gpu_seconds),
        _time(amounts.load),
        size(amounts.bytes_read) if amounts.is_counted else "-",
        size(amounts.size),
        f"{amounts.reads:,}" if amounts.is_counted else "-",
        f"{amounts.writes:,}",
        _money(prices.work(amounts)) if prices.given else "-",
        f"{amounts.cached:,}" if amounts.cached else "-",
    )


def _beside(found: "RunUsage") -> "Table":
    """What was foretold, in one process, beside what it came to: the time is that for which processes worked."""
    right = ("rows", "time", "read", "written", "reads", "writes")
    rows = [
        (stage.kind, *_pairs(stage.foretold, stage.amounts))
        for stage in found.stages
        if stage.foretold
    ]
    title = "Foretold by `plan`, in one process / what it came to"
    return terminal(title, ("stage", *right), rows, right=right, spare=("reads", "writes"))


def _pairs(foretold: "Foretold", came: "Amounts") -> Iterator[str]:
    """What was foretold / what it came to; a dash for what nobody foretold, or nobody counted."""
    known = came.is_counted

    def number(count: int) -> str:
        return f"{count:,}"

    pairs: list[tuple[Callable[[Any], str], float | None, float | None]] = [
        (number, foretold.rows, came.rows),
        (duration, foretold.seconds, max(came.load, came.process)),
        (size, foretold.bytes_read, came.bytes_read if known else None),
        (size, foretold.size, came.size),
        (number, foretold.reads, came.reads if known else None),
        (number, foretold.writes, came.writes),
    ]
    for show, before, after in pairs:
        yield " / ".join("-" if value is None else show(value) for value in (before, after))


def _summary(found: "RunUsage", prices: "Prices") -> str:
    total, lines = found.total, []
    if total.unmeasured:
        lines.append(
            f"{counted(total.unmeasured, 'shards', 'were')} committed by a version that did not measure: "
            "the bytes that they wrote are counted, their time is not"
        )
    if total.uncounted:
        lines.append(
            f"{counted(total.uncounted, 'shards', 'were')} committed by a version that did not count what it read: "
            "requests that wrote are taken to be one for each object, and two"
        )
    if prices.given:
        line = f"cost {_money(prices.work(total))}, and {_money(prices.month(total))} a month for its tables"
        if found.pictures:
            each = prices.work(total) * MILLION / found.pictures
            line += f"; {_money(each)} per million pictures ({found.pictures:,} here)"
        lines.append(line)
    lines.append(
        "not counted: failed attempts, processes that waited for work, the driver, idle nodes"
    )
    return "\n".join(lines)


def _object(found: "RunUsage", prices: "Prices") -> dict[str, object]:
    total = found.total
    stages = [
        {
            "stage": stage.name,
            "kind": stage.kind,
            "unit": stage.unit,
            **_figures(stage.amounts, prices),
            "foretold": stage.foretold.model_dump() if stage.foretold else None,
        }
        for stage in found.stages
    ]
    cost = prices.work(total)
    return {
        "run": found.name,
        "pictures": found.pictures,
        **_figures(total, prices),
        "cost_per_million_pictures": (
            cost * MILLION / found.pictures if prices.given and found.pictures else None
        ),
        "cost_a_month": prices.month(total) if prices.given else None,
        "stages": stages,
    }


def _figures(amounts: "Amounts", prices: "Prices") -> dict[str, object]:
    cost = prices.work(amounts) if prices.given else None
    return {**asdict(amounts), "utilisation": amounts.utilisation, "cost": cost}


def _time(seconds: float) -> str:
    return duration(seconds) if seconds else "-"


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 0.1 or not amount else f"{amount:.2g}"
