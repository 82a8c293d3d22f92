"""`clipneuron reproduce`: the paper's evidence for any model, and `class-prompts`, what one of its text pools needs."""

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, Any

from clipneuron.cli.flags import (
    add_command,
    add_engine,
    add_recipe,
    add_store,
    layers,
    positive,
    recipe_of,
)
from clipneuron.cli.run import engine
from clipneuron.cli.units import show_table

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.evidence.pipeline import Reproduction
    from clipneuron.store.store import Run

EXAMPLES = """\
examples:
  clipneuron reproduce --recipe demo --store demo-run
      every claim of the paper's sections 3 and 4, tried on the demo world
  clipneuron reproduce --recipe vit_b_32 --images imagenet/train --evaluation-images imagenet/val --store runs
      the paper's own setting: 5,124 training images for D, every tenth validation image
  clipneuron reproduce --recipe vit_l_14 --layers 0-22 --images imagenet/train --evaluation-images imagenet/val ...
      Figures 9 and 11
  clipneuron reproduce --model ViT-B-16 --pretrained laion2b_s34b_b88k --images photos --evaluation-images labelled ...
      any open_clip ViT and any pictures whose folders are their classes
  clipneuron reproduce --recipe vit_b_32 --preparation authors --reconstruction authors --text-activation gelu ...
      with what the authors' program does otherwise than the paper's text
"""
PROMPTS_EXAMPLES = """\
examples:
  clipneuron class-prompts --classes imagenet --to prompts.jsonl
      one request per class; let any language model answer them into lines {"prompt": ..., "answer": ...}
  clipneuron reproduce --recipe vit_b_32 --pools words-30k class-descriptions:answers.jsonl ...
      and describe neurons with the answers
"""


def add_commands(commands: Any) -> None:
    """reproduce and class-prompts."""
    does = "gather the paper's evidence: ablations, first-order and indirect effects, words in their place"
    parser = add_command(commands, "reproduce", does, reproduce, epilog=EXAMPLES)
    add_store(parser)
    parser.add_argument(
        "--until",
        choices=("ablations", "first-order", "indirect"),
        help="stop after these experiments; the same command without it goes on from there",
    )
    add_evaluation(parser)
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


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """The fields of a recipe's evaluation."""
    group: Any = parser.add_argument_group(
        "what the evidence is gathered on (in place of the recipe's)"
    )

    def add(option: str, field: str, **more: Any) -> None:
        if not {"choices", "action", "metavar"} & more.keys():
            more["metavar"] = option.rpartition("-")[2].upper()
        group.add_argument(option, dest=f"evaluation_{field}", default=None, **more)

    add(
        "--evaluation-images", "images", help="labelled pictures: a class per folder, Parquet, tars"
    )
    add("--evaluation-every", "every", type=positive, help="use every n-th (the authors: 10)")
    add("--evaluation-limit", "limit", type=int, help="use at most this many; 0 means all")
    add("--classes", "classes", help="imagenet, labels (as folders are called), or a file of names")
    add("--templates", "templates", help="imagenet (OpenAI's 80), demo, or a file with {} per line")
    add(
        "--detail-layers",
        "detail_layers",
        type=layers,
        help="of texts and indirect effects (default: L-3)",
    )
    add(
        "--pools",
        "pools",
        nargs="+",
        help="pools of texts, as --pool, or class-descriptions:ANSWERS.jsonl",
    )
    add(
        "--sizes",
        "sizes",
        nargs="+",
        type=positive,
        help="texts per neuron (default: 4 8 16 32 64 128)",
    )
    add(
        "--reconstruction",
        "reconstruction",
        choices=("paper", "authors"),
        help="how texts stand for effects",
    )
    add(
        "--indirect-neurons",
        "indirect_neurons",
        type=positive,
        help="neurons per layer held at their means",
    )
    add(
        "--indirect-images", "indirect_images", type=positive, help="pictures that they are held on"
    )
    add(
        "--neurons",
        "neurons",
        nargs="+",
        type=neuron,
        metavar="LAYER:NEURON",
        help="to show with words and pictures",
    )


def neuron(text: str) -> tuple[int, int]:
    """`9:391`: a layer and a neuron."""
    layer, colon, number = text.partition(":")
    if not (colon and layer.isdigit() and number.isdigit()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no neuron: expected LAYER:NEURON, such as 9:391"
        )
    return int(layer), int(number)


def reproduce(chosen: argparse.Namespace) -> int:
    """`clipneuron reproduce`."""
    from rich.console import Console

    from clipneuron.engine.runner import stages_table
    from clipneuron.evidence.pipeline import Reproduction
    from clipneuron.store.store import Store
    from clipneuron.sweep.inputs import check_device

    if chosen.extend:
        raise ValueError(
            "--extend belongs to `clipneuron run`: extend the run first, then reproduce"
        )
    recipe = recipe_of(chosen)
    if chosen.engine == "in-process":  # the devices of a cluster are those of its nodes
        check_device(recipe.device)
    progress = Console(file=sys.stderr)
    reproduction = Reproduction.of(recipe, Store(chosen.store))
    progress.print(reproduction.describe(), highlight=False)
    with engine(chosen, progress) as runner:
        run, reports = reproduction.run(runner, until=chosen.until)
    show_table(stages_table(reports))
    if chosen.until:
        print(f"tables: {run.url}")
    else:
        conclude(reproduction, run)
    return 0


def conclude(reproduction: "Reproduction", run: "Run") -> None:
    """Print the claims, and write the report."""
    from clipneuron.evidence.report import evidence_report, write_report

    report = evidence_report(reproduction, run, command=shlex.join(["clipneuron", *sys.argv[1:]]))
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
    print(f"{len(classes):,} requests: {chosen.to}")
    return 0
