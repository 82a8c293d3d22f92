"""`clipneuron attack`: semantic adversarial images from a pair of classes to a table; `review` and `trace` of them."""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clipneuron.cli.growing import going_on, is_settled
from clipneuron.cli.options.fields import add_fields
from clipneuron.cli.options.flags import (
    add_engine,
    add_recipe,
    add_run_name,
    add_store,
    add_until,
    chosen_run,
)
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import whole
from clipneuron.cli.run import engine, judged, show_notes
from clipneuron.cli.units import progress_of, show_table
from clipneuron.config import kinds
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.attack.pipeline import AttackLine
    from clipneuron.attack.results import AttackResults
    from clipneuron.store.store import Run

EXAMPLES = """\
examples:
  clipneuron attack --recipe demo --pairs horse:automobile dog:deer --store demo-run
      from words to verdicts in the demo world, with its own writer and painter
  clipneuron attack --recipe demo --pairs all --store demo-run
      ten pairs, five methods, three repeats, a hundred pictures each
  clipneuron attack --recipe vit_b_32 --images imagenet/train --pairs cifar10 --store s3://runs --address auto
      Table 3: LLaMA-3 writes, DeepFloyd IF paints, on the nodes that offer `gen`
  clipneuron attack --recipe demo --pairs dog:deer --store demo-run --prompts prompts.jsonl
      requests for captions, to be answered elsewhere; then --captioner answers:answers.jsonl
  clipneuron attack --recipe vit_b_32 --images imagenet/train --pairs dog:cat --store runs \\
      --captioner http://vllm:8000/v1#llama-3-8b-instruct --painter flux
      captions from a service that speaks OpenAI's protocol, pictures by FLUX.1-schnell

The pictures are meant to find and fix weaknesses of models. Every PNG says inside what it was made of and by whom.
"""
REVIEW_EXAMPLES = """\
examples:
  clipneuron review --store demo-run --reviewer ada
      a local page for the pictures of the last attack: K keep, 2 shows c2, 1 lacks c1, U undo
  clipneuron review --store demo-run --export decisions.csv
      all decisions as a file, and how often reviewers agree
  clipneuron review --store another-copy --import decisions.csv
      take over what was decided on another copy of the run
"""
TRACE_EXAMPLES = """\
examples:
  clipneuron trace dog:deer/second-order/0/3-7 --store demo-run
      picture -> caption -> words -> neurons -> their top pictures, of the run's last attack
"""


def add_commands(commands: Any) -> None:
    """attack, review and trace."""
    does = "produce pictures that the model takes for another class, from the words of its neurons"
    parser = add_command(commands, "attack", does, attack, epilog=EXAMPLES)
    add_until(parser, kinds.ATTACK)
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        help="stop after the words and write the requests for captions there, for answers:FILE",
    )
    add_store(parser)
    add_attack(parser)
    add_recipe(parser)
    add_engine(parser)
    does = "decide on a local page which pictures count"
    parser = add_command(commands, "review", does, review, epilog=REVIEW_EXAMPLES)
    parser.add_argument("--reviewer", default="", help="whose decisions the page records")
    parser.add_argument("--port", type=whole, default=0, help="of the page (default: any free one)")
    parser.add_argument(
        "--export", metavar="FILE", help="write all decisions (.csv or .parquet) and end"
    )
    parser.add_argument(
        "--import",
        dest="adopted",
        metavar="FILE",
        help="take over the decisions that an export from another copy of the run holds, and end",
    )
    parser.add_argument(
        "--attack", default="", metavar="NAME", help="how its name begins (default: the last one)"
    )
    add_run_name(parser)
    does = "follow a picture back to its caption, words, neurons and their pictures"
    parser = add_command(commands, "trace", does, trace, epilog=TRACE_EXAMPLES)
    parser.add_argument("picture", help="id of the picture, as the tables have it")
    parser.add_argument("--to", metavar="FILE", help="write the picture itself there as PNG")
    add_run_name(parser)


def add_attack(parser: argparse.ArgumentParser) -> None:
    """The fields of a recipe's attack, and those of its evaluation that the method indirect asks for."""
    title = "what to attack, and how (in place of the recipe's fields)"
    add_fields(parser, "attack", title)
    add_fields(
        parser,
        "evaluation",
        "for the method indirect",
        only=("indirect_neurons", "indirect_images"),
    )


def attack(chosen: argparse.Namespace) -> int:
    """`clipneuron attack`."""
    from clipneuron.attack.inputs import check
    from clipneuron.engine.runner import stages_table
    from clipneuron.models.language.captioner import write_prompts

    progress = progress_of(chosen)
    with judged(chosen, check) as (recipe, store):
        from clipneuron.attack.pipeline import AttackLine

        line = AttackLine.of(recipe, store)
        line = replace(line, sweep=going_on(chosen, line.sweep))
    if not chosen.prompts and is_settled(chosen, line.sweep, line):
        return 0
    progress.print(line.describe(), highlight=False)
    until = "words" if chosen.prompts else chosen.until
    if until not in kinds.SWEEP:
        line.look(until)
    with engine(chosen, progress, line.sweep.open(), pools=("clip", "gen")) as runner:
        run, reports = line.run(runner, until=until)
    show_table(stages_table(reports))
    show_notes(run)
    if chosen.prompts:
        requests = line.prompts(run)
        write_prompts(chosen.prompts, requests)
        print(f"{counted(len(requests), 'requests')}: {chosen.prompts}")
    elif chosen.until:
        print(f"tables: {run.url}")
    else:
        conclude(line, run)
    return 0


def conclude(line: "AttackLine", run: "Run") -> None:
    """Print the table, and write the report into the run."""
    from clipneuron.attack.report import AttackReport

    report = AttackReport.of(run, line.results(run))
    for table in report.tables():
        show_table(table)
    for pair, best in report.best():
        print(f"most convincing of {pair}: {best.picture}, margin {best.margin:.3f}")
    for name, place in report.write(run).items():
        print(f"{name}: {place}")


def review(chosen: argparse.Namespace) -> int:
    """`clipneuron review`."""
    run = chosen_run(chosen)
    results = _last_attack(run, chosen.attack)
    if chosen.adopted:
        return _import(run, chosen.adopted)
    if chosen.export:
        return _export(run, results.pictures, chosen.export)
    if not chosen.reviewer:
        raise ValueError("whose decisions will these be? Give a name with --reviewer")
    from clipneuron.attack.report import review_keys
    from clipneuron.attack.review.server import serve

    with serve(run, review_keys(results), reviewer=chosen.reviewer, port=chosen.port) as page:
        line = f"review at {page.url} (Ctrl-C ends it; every decision is on record at once)"
        print(line, flush=True)  # who starts it from a program or a job reads it from a pipe
        page.wait()
    return 0


def _last_attack(run: "Run", name: str) -> "AttackResults":
    """The last attack with verdicts, or the last one whose name begins so; raises ValueError."""
    from clipneuron.attack.results import AttackResults

    there = run.results(AttackResults)
    asked = [results for results in there if results.name.startswith(name)]
    ready = [results for results in asked if run.done(results.verdicts)]
    if ready:
        if ready[0] != asked[0]:
            shown = f"{asked[0].name} has no verdicts yet; this is {ready[0].name}"
            print(f"the last attack {shown}", file=sys.stderr)
        return ready[0]
    if asked:
        return asked[0]
    names = (
        ", ".join(results.name for results in there) or "none: make one with `clipneuron attack`"
    )
    raise ValueError(f"run {run.name} has no attack {name!r}; it has {names}")


def _export(run: "Run", stage: str, to: str) -> int:
    from pathlib import Path

    from clipneuron.attack.review import decisions

    rows, damaged = decisions.recorded(run, stage)
    for problem in damaged:
        print(f"damaged: {problem}", file=sys.stderr)
    path = Path(to)
    export = decisions.as_csv if path.suffix == ".csv" else decisions.as_parquet
    path.write_bytes(export(rows))
    print(f"{counted(rows.num_rows, 'decisions')}: {path}")
    for each in decisions.agreements(decisions.standing(rows)):
        kappa = "" if each.kappa is None else f", Cohen's kappa {each.kappa:.2f}"
        print(f"{each.first} and {each.second} agree on {each.same} of {each.pictures}{kappa}")
    return 1 if damaged else 0


def _import(run: "Run", source: str) -> int:
    from pathlib import Path

    from clipneuron.attack.review import decisions

    rows = decisions.load(Path(source))
    print(
        f"new to {run.name}: {decisions.adopt(run, rows):,} of {counted(rows.num_rows, 'decisions')}"
    )
    return 0


def trace(chosen: argparse.Namespace) -> int:
    """`clipneuron trace`."""
    from pathlib import Path

    from clipneuron.attack.trace import traced

    found = traced(chosen_run(chosen), chosen.picture)
    for table in found.tables():
        show_table(table)
    if chosen.to:
        if found.image is None:
            raise ValueError(f"{chosen.picture} has no picture to write: {found.picture['reason']}")
        Path(chosen.to).write_bytes(found.image)
        print(f"picture: {chosen.to}")
    return 0
