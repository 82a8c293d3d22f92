"""`clipneuron explain`: how true the words of neurons are."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clipneuron.cli.growing import going_on, is_settled
from clipneuron.cli.options.fields import add_fields
from clipneuron.cli.options.flags import add_engine, add_recipe, add_show, add_store, add_until
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.run import engine, judged, show_notes
from clipneuron.cli.units import progress_of, show_table
from clipneuron.config import kinds
from clipneuron.reports.printing import print

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.explanation.pipeline import ExplanationLine
    from clipneuron.store.store import Run

EXAMPLES = """\
examples:
  clipneuron explain --recipe demo --store demo-run
      the demo: words of all neurons, and how true they are of rendered scenes that the sweep has not seen
  clipneuron explain --recipe vit_b_32 --images imagenet/train --explanation-images imagenet/val --store runs
      by the labels of ImageNet's validation pictures; --hypernyms FILE adds what else is true of a class
  clipneuron explain --model ViT-B-16 --pretrained openai --images photos --explanation-images other-photos \\
      --explanation-witness ViT-L-14:laion2b_s32b_b82k --store runs
      pictures without labels: another CLIP says what is true of them
  clipneuron explain --recipe demo --store demo-run --explanation-painter demo --painted-each 20
      also CoSy's AUC and MAD of 50 neurons of each layer, on painted pictures of their words
"""


def add_commands(commands: Any) -> None:
    """explain."""
    does = "describe every neuron, and measure on held-out pictures how true the words are"
    parser = add_command(commands, "explain", does, explain, epilog=EXAMPLES)
    add_store(parser)
    add_until(parser, kinds.EXPLANATION)
    add_show(parser)
    add_fields(
        parser,
        "explanation",
        "what words are judged by (in place of the recipe's fields)",
    )
    add_recipe(parser)
    add_engine(parser)


def explain(chosen: argparse.Namespace) -> int:
    """`clipneuron explain`."""
    from clipneuron.engine.runner import stages_table
    from clipneuron.explanation.inputs import check

    progress = progress_of(chosen)
    with judged(chosen, check) as (recipe, store):
        from clipneuron.explanation.pipeline import ExplanationLine

        line = ExplanationLine.of(recipe, store)
        line = replace(line, sweep=going_on(chosen, line.sweep))
    if is_settled(chosen, line.sweep, line):
        return 0
    progress.print(line.describe(), highlight=False)
    line.look(chosen.until)
    pools = ("clip", "gen") if line.painter else ("clip",)
    with engine(chosen, progress, line.sweep.open(), pools=pools) as runner:
        run, reports = line.run(runner, until=chosen.until)
    if chosen.until:
        show_table(stages_table(reports))
        show_notes(run)
        print(f"tables: {run.url}")
    else:
        conclude(line, run, chosen.show)
        show_table(stages_table(reports))
        show_notes(run)
    return 0


def conclude(line: "ExplanationLine", run: "Run", show: int) -> None:
    """Print the scores, and write the report."""
    from clipneuron.explanation.report import explanation_report, write_report

    report = explanation_report(line, run, show)
    for table in report.tables():
        show_table(table)
    places = write_report(run, report)
    print(f"report: {places['report.md']}")
    if sheet := places.get("best-neurons.png"):
        print(f"contact sheet: {sheet}")
