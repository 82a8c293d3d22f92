"""`clipneuron compare`: why two runs differ and in what, from their tables alone."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipneuron.cli.options.flags import add_store
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import one_of, positive, share
from clipneuron.cli.units import show_table
from clipneuron.reports.printing import print

if TYPE_CHECKING:  # Arrow and rich take half a second to import, which --help is spared
    from clipneuron.operations.compare.alerts import Limits
    from clipneuron.store.store import Run

EXAMPLES = """\
exit status: 0 compared, 4 more changed than --fail-... allows, 1 the runs cannot be compared

examples:
  clipneuron compare demo-1f0c demo-77ab --store runs
      why they differ, and the layers, words and neurons that changed most; names may be cut short
  clipneuron compare --last 2 --store s3://runs --fail-below 0.9 --fail-share 0.01
      the newest run with the one before it; status 4 if more than 1 % of the neurons have a cosine below 0.9
  clipneuron compare vit --last 2 --store s3://runs --parquet changes.parquet --json changes.json --page changes
      of the runs whose names begin so: a row per neuron, everything else as JSON, and a page with charts
  clipneuron compare vit_b_32 vit_b_16 --store runs --match
      runs of different architectures or layers: which neurons of the other one are nearest
  clipneuron compare demo demo --store runs --store-b s3://other/runs
      two runs in two stores
"""
CHANGED = 4
WAYS = ("auto", "direction", "norms")


def add_commands(commands: Any) -> None:
    """compare."""
    does = (
        "say why two runs differ and in which neurons, words and figures, from their tables alone"
    )
    parser = add_command(commands, "compare", does, compare, epilog=EXAMPLES)
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="two runs, A and B, by their names or how these begin; with --last, how all names begin",
    )
    add_store(parser)
    parser.add_argument(
        "--store-b", default="", help="where the second run is (default: in --store)"
    )
    parser.add_argument(
        "--last",
        type=positive,
        default=0,
        metavar="N",
        help="compare the newest run with the one before it (2), or with one further back (3, ...)",
    )
    parser.add_argument(
        "--show",
        type=positive,
        default=12,
        metavar="N",
        help="neurons that are listed (default: 12)",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write everything but the single neurons as JSON"
    )
    parser.add_argument(
        "--parquet", metavar="FILE", help="write a row per neuron, most changed first"
    )
    parser.add_argument(
        "--page", metavar="FOLDER", help="write a page with charts: FOLDER/report.md"
    )
    parser.add_argument(
        "--match",
        nargs="?",
        const="auto",
        type=one_of(WAYS, "way of matching"),
        metavar="{" + ",".join(WAYS) + "}",
        help="find for each neuron of A the nearest of B, whatever the layers and architectures: by direction where "
        "the joint spaces agree, by norms on the same pictures; auto, without a word, does what is possible",
    )
    _add_limits(parser)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group: Any = parser.add_argument_group(f"when to end with status {CHANGED}")
    limits = (
        (
            "--fail-below",
            "COSINE",
            "a neuron whose cosine is below this has changed; see --fail-share",
        ),
        ("--fail-share", "SHARE", "how many of the neurons may have, as a share (default: 0)"),
        ("--fail-words", "SHARE", "how many of the neurons may gain or lose a word, as a share"),
        ("--fail-score", "FALL", "by how much the mean correlation of the words may fall"),
        (
            "--fail-accuracy",
            "FALL",
            "by how much an accuracy, undisturbed or under an ablation, may fall",
        ),
        (
            "--fail-concepts",
            "SHARE",
            "how many of the pictures may have another first concept by any one method, as a share",
        ),
    )
    for option, metavar, text in limits:
        group.add_argument(option, type=share, metavar=metavar, help=text)


def compare(chosen: argparse.Namespace) -> int:
    """`clipneuron compare`: 4 when more changed than is allowed."""
    from clipneuron.operations.compare.sides import two_runs
    from clipneuron.store.store import Store

    limits = _limits(chosen)
    _check_files(chosen)
    other = Store(chosen.store_b) if chosen.store_b else None
    if other and chosen.last:
        raise ValueError("--last looks at one store: name the two runs where --store-b is given")
    one, another = two_runs(Store(chosen.store), tuple(chosen.runs), chosen.last, other)
    return (
        _matched(chosen, one, another) if chosen.match else _compared(chosen, one, another, limits)
    )


def _compared(chosen: argparse.Namespace, one: "Run", another: "Run", limits: "Limits") -> int:
    from clipneuron.engine.meters import meter
    from clipneuron.operations.compare.alerts import exceeded
    from clipneuron.operations.compare.comparison import Comparison, common_layers
    from clipneuron.operations.compare.report import CompareReport
    from clipneuron.operations.compare.sides import Side
    from clipneuron.reports.consoles import Console

    a, b = Side.of(one), Side.of(another)
    layers = common_layers(a, b)
    with meter(Console(file=sys.stderr), "compare", len(layers), 0, "layers") as bar:
        found = Comparison.of(a, b, advance=bar.advance)
    alerts = exceeded(found, limits)
    report = CompareReport(found, chosen.show, limits.near, alerts)
    print(f"A: {one.name} ({one.url})\nB: {another.name} ({another.url})")
    for table in report.tables():
        show_table(table)
    for note in found.notes:
        print(f"note: {note}")
    if chosen.parquet:
        _write_table(chosen.parquet, found.neurons.take(found.order))
    if chosen.json:
        _write_json(chosen.json, report.as_json())
    if chosen.page:
        _write_folder(chosen.page, report.files())
    for alert in alerts:
        print(f"changed: {alert}", file=sys.stderr)
    return CHANGED if alerts else 0


def _matched(chosen: argparse.Namespace, one: "Run", another: "Run") -> int:
    from clipneuron.engine.meters import meter
    from clipneuron.operations.compare.match.matching import matches
    from clipneuron.operations.compare.match.report import MatchReport
    from clipneuron.operations.compare.sides import Side
    from clipneuron.reports.consoles import Console

    a, b = Side.of(one), Side.of(another)
    ways: Any = ("direction", "norms") if chosen.match == "auto" else (chosen.match,)
    total = len(ways) * len(a.neurons.keys)
    with meter(Console(file=sys.stderr), "match", total, 0, "neurons") as bar:
        found, notes = matches(a, b, ways, bar.advance)
    report = MatchReport(a, b, found, notes, chosen.show)
    print(f"A: {one.name} ({one.url})\nB: {another.name} ({another.url})")
    for table in report.tables():
        show_table(table)
    for note in report.notes:
        print(f"note: {note}")
    if chosen.parquet:
        _write_table(chosen.parquet, report.table())
    if chosen.json:
        _write_json(chosen.json, report.as_json())
    if chosen.page:
        _write_folder(chosen.page, report.files())
    return 0


def _limits(chosen: argparse.Namespace) -> "Limits":
    from clipneuron.operations.compare.alerts import Limits

    if chosen.fail_share is not None and chosen.fail_below is None:
        raise ValueError("--fail-share needs --fail-below, the cosine below which a neuron counts")
    asked = (
        chosen.fail_below,
        chosen.fail_words,
        chosen.fail_score,
        chosen.fail_accuracy,
        chosen.fail_concepts,
    )
    if chosen.match and any(limit is not None for limit in asked):
        raise ValueError(
            "--fail-... are about the same neurons of two runs, and --match is not: leave one out"
        )
    below, *others = asked
    return Limits(below, chosen.fail_share or 0.0, *others)


def _check_files(chosen: argparse.Namespace) -> None:
    """Raises ValueError for what could not be written at the end."""
    for option, name, suffix in (
        ("--json", chosen.json, ".json"),
        ("--parquet", chosen.parquet, ".parquet"),
    ):
        if name and Path(name).suffix != suffix:
            raise ValueError(f"{option} {name}: expected a name that ends in {suffix}")
        if name and not Path(name).resolve().parent.is_dir():
            raise ValueError(f"{option} {name}: there is no such folder, make it first")
    if chosen.page and Path(chosen.page).is_file():
        raise ValueError(f"--page {chosen.page}: that is a file, expected a folder")


def _write_table(name: str, table: Any) -> None:
    from clipneuron.store import parquet

    Path(name).write_bytes(parquet.encode(table))
    print(f"a row per neuron: {name}")


def _write_json(name: str, found: dict[str, Any]) -> None:
    Path(name).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"data: {name}")


def _write_folder(name: str, files: dict[str, bytes]) -> None:
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    print(f"page: {folder / 'report.md'}")
