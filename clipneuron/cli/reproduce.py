"""`clipneuron reproduce`: the paper's evidence for any model, and `class-prompts`, what one of its text pools needs."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clipneuron.cli.growing import going_on, is_settled
from clipneuron.cli.noticing import shown_command
from clipneuron.cli.options.fields import add_fields
from clipneuron.cli.options.flags import add_engine, add_recipe, add_store, add_until
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.run import engine, judged, show_notes
from clipneuron.cli.units import progress_of, show_table
from clipneuron.config import kinds
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.evidence.pipeline import Reproduction
    from clipneuron.store.store import Run

EXAMPLES = """\
examples:
  clipneuron reproduce --recipe demo --store demo-run
      every claim of the paper's sections 3 and 4, tried on the demo world
  clipneuron reproduce --recipe vit_b_32 --images imagenet/train --evaluation-images imagenet/val --store runs
      the paper's own setting: 5,124 training images for D, every tenth validation image
  clipneuron reproduce --recipe vit_l_14 --images imagenet/train --evaluation-images imagenet/val --store runs
      Figures 9 and 11
  clipneuron reproduce --model ViT-B-16 --pretrained laion2b_s34b_b88k --images photos --evaluation-images labelled \\
      --store runs
      any open_clip ViT and any pictures whose folders are their classes
  clipneuron reproduce --recipe vit_b_32 --images imagenet/train --evaluation-images imagenet/val --store runs \\
      --preparation authors --reconstruction authors --text-activation gelu
      with what the authors' program does otherwise than the paper's text
"""
PROMPTS_EXAMPLES = """\
examples:
  clipneuron class-prompts --classes imagenet --to prompts.jsonl
      one request per class; let any language model answer them into lines {"prompt": ..., "answer": ...}
  clipneuron reproduce --recipe vit_b_32 --images imagenet/train --evaluation-images imagenet/val --store runs \\
      --pools words-30k class-descriptions:answers.jsonl
      and describe neurons with the answers
"""


def add_commands(commands: Any) -> None:
    """reproduce and class-prompts."""
    does = "gather the paper's evidence: ablations, first-order and indirect effects, words in their place"
    parser = add_command(commands, "reproduce", does, reproduce, epilog=EXAMPLES)
    add_store(parser)
    add_until(parser, kinds.EVIDENCE)
    add_fields(
        parser, "evaluation", "what the evidence is gathered on (in place of the recipe's fields)"
    )
    add_recipe(parser)
    add_engine(parser)
    does = "write the requests for a pool of class descriptions, one JSON line per class"
    parser = add_command(commands, "class-prompts", does, class_prompts, epilog=PROMPTS_EXAMPLES)
    parser.add_argument(
        "--classes", required=True, help="'imagenet', or a file with one class name per line"
    )
    parser.add_argument(
        "--to", required=True, metavar="FILE", help="JSON lines to write; must not exist"
    )


def reproduce(chosen: argparse.Namespace) -> int:
    """`clipneuron reproduce`."""
    from clipneuron.engine.runner import stages_table
    from clipneuron.evidence.inputs import check

    progress = progress_of(chosen)
    with judged(chosen, check) as (recipe, store):
        from clipneuron.evidence.pipeline import Reproduction

        reproduction = Reproduction.of(recipe, store)
        reproduction = replace(reproduction, sweep=going_on(chosen, reproduction.sweep))
    if is_settled(chosen, reproduction.sweep, reproduction):
        return 0
    progress.print(reproduction.describe(), highlight=False)
    with engine(chosen, progress, reproduction.sweep.open()) as runner:
        run, reports = reproduction.run(runner, until=chosen.until)
    show_table(stages_table(reports))
    show_notes(run)
    if chosen.until:
        print(f"tables: {run.url}")
    else:
        conclude(reproduction, run)
    return 0


def conclude(reproduction: "Reproduction", run: "Run") -> None:
    """Print the claims, and write the report."""
    from clipneuron.evidence.report import evidence_report, write_report

    report = evidence_report(reproduction, run, command=shown_command())
    for table in report.tables():
        show_table(table)
    print(f"report: {write_report(reproduction, run, report)}")


def class_prompts(chosen: argparse.Namespace) -> int:
    """`clipneuron class-prompts`."""
    from clipneuron.evidence.class_descriptions import prompts_of
    from clipneuron.models.language.captioner import write_prompts
    from clipneuron.sweep.inputs import class_names_in

    classes = tuple(dict.fromkeys(class_names_in(chosen.classes)))
    write_prompts(chosen.to, prompts_of(classes))
    print(f"{counted(len(classes), 'requests')}: {chosen.to}")
    return 0
