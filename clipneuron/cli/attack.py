"""`clipneuron attack`: semantic adversarial images from a pair of classes to a table; `review` and `trace` of them."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from clipneuron.cli.flags import (
    add_command,
    add_engine,
    add_recipe,
    add_run_name,
    add_store,
    chosen_run,
    layers,
    positive,
    recipe_of,
)
from clipneuron.cli.run import engine
from clipneuron.cli.units import show_table

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.attack.pipeline import AttackLine
    from clipneuron.attack.results import AttackResults
    from clipneuron.attack.review.deck import ReviewKeys
    from clipneuron.store.store import Run

EXAMPLES = """\
examples:
  clipneuron attack --recipe demo --pairs horse:automobile dog:deer --store demo-run
      from words to verdicts in the demo world, with its own writer and painter
  clipneuron attack --recipe demo --pairs all --store demo-run
      ten pairs, four methods, three repeats, a hundred pictures each
  clipneuron attack --recipe vit_b_32 --images imagenet/train --pairs cifar10 --store s3://runs --address auto
      Table 3: LLaMA-3 writes, DeepFloyd IF paints, on the nodes that offer `gen`
  clipneuron attack --recipe demo --pairs dog:deer --store demo-run --prompts prompts.jsonl
      requests for captions, to be answered elsewhere; then --captioner answers:answers.jsonl
  clipneuron attack --recipe vit_b_32 --captioner http://vllm:8000/v1#llama-3-8b-instruct --painter flux ...
      captions from a service that speaks OpenAI's protocol, pictures by FLUX.1-schnell

The pictures are meant to find and mend weaknesses of models. Every PNG says inside what it was made of and by whom.
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
    parser.add_argument(
        "--until",
        choices=("words", "captions", "pictures", "verdicts"),
        help="stop after this step; the same command without it goes on from there",
    )
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
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any free one)")
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
    """The fields of a recipe's attack."""
    group: Any = parser.add_argument_group("what to attack, and how (in place of the recipe's)")

    def add(option: str, field: str, **more: Any) -> None:
        if not {"choices", "action", "metavar"} & more.keys():
            more["metavar"] = option.rpartition("-")[2].upper()
        group.add_argument(option, dest=f"attack_{field}", default=None, **more)

    add(
        "--pairs",
        "pairs",
        nargs="+",
        help="c1:c2 (c1 is shown, c2 is what it is to be taken for), cifar10, figure13, all, or a file",
    )
    add("--attack-classes", "classes", help="all classes: cifar10, imagenet or a file of names")
    add(
        "--methods",
        "methods",
        nargs="+",
        help="second-order random indirect similar (default: all)",
    )
    add("--repeats", "repeats", type=positive, help="of the whole experiment (default: 3)")
    add(
        "--attack-layers",
        "layers",
        type=layers,
        help="layers of the neurons (default: all of the run)",
    )
    add(
        "--attack-neurons",
        "neurons",
        type=positive,
        help="neurons that words are taken from (default: 100)",
    )
    add("--words", "words", type=positive, help="words that captions are asked for (default: 25)")
    add(
        "--rule",
        "rule",
        choices=("paper", "authors"),
        help="how contributions count (default: summed, Eq. 6)",
    )
    add("--sentences", "sentences", help="model that knows synonyms: hub name, folder, or clip")
    add("--similarity", "similarity", type=float, help="cosine that makes a synonym (default: 0.6)")
    add("--blocked", "blocked", help="file of words to leave out")
    add(
        "--captioner",
        "captioner",
        help="hub name or folder, http(s)://HOST/v1#MODEL, answers:FILE, or demo",
    )
    add("--captions", "captions", type=positive, help="captions that are asked for (default: 50)")
    add("--chosen", "chosen", type=positive, help="captions that are painted (default: 10)")
    add("--painter", "painter", help="deepfloyd, flux, hub name or folder of a pipeline, or demo")
    add("--offload", "offload", action="store_true", help="only the network at work is on the GPU")
    add("--each", "each", type=positive, help="pictures per caption (default: 10)")
    add(
        "--witness",
        "witness",
        help="another CLIP for suggestions to the reviewer, MODEL:PRETRAINED",
    )
    for name in ("captioner", "painter"):
        what = f"GiB of main memory that an actor of the {name} is placed by"
        add(f"--{name}-memory", f"{name}_memory", type=float, help=what, metavar="GIB")
    for name, what in (
        ("neurons", "per layer held at their means"),
        ("images", "they are held on"),
    ):
        group.add_argument(
            f"--indirect-{name}",
            dest=f"evaluation_indirect_{name}",
            type=positive,
            metavar="N",
            help=f"for the method indirect: {name} {what}",
        )


def attack(chosen: argparse.Namespace) -> int:
    """`clipneuron attack`."""
    from rich.console import Console

    from clipneuron.attack.pipeline import AttackLine
    from clipneuron.engine.runner import stages_table
    from clipneuron.models.language.captioner import write_prompts
    from clipneuron.store.store import Store
    from clipneuron.sweep.inputs import check_device

    if chosen.extend:
        raise ValueError("--extend belongs to `clipneuron run`: extend the run first, then attack")
    line = AttackLine.of(recipe_of(chosen), Store(chosen.store))
    if chosen.engine == "in-process":  # the devices of a cluster are those of its nodes
        check_device(line.sweep.recipe.device)
    progress = Console(file=sys.stderr)
    progress.print(line.describe(), highlight=False)
    with engine(chosen, progress, pools=("clip", "gen")) as runner:
        run, reports = line.run(runner, until="words" if chosen.prompts else chosen.until)
    show_table(stages_table(reports))
    if chosen.prompts:
        requests = line.prompts(run)
        write_prompts(chosen.prompts, requests)
        print(f"{len(requests):,} requests: {chosen.prompts}")
    elif chosen.until:
        print(f"tables: {run.url}")
    else:
        conclude(line, run)
    return 0


def conclude(line: "AttackLine", run: "Run") -> None:
    """Print the table, and write it into the run."""
    from clipneuron.attack.sheet import convincing, fooling_sheet
    from clipneuron.attack.table3 import Table3
    from clipneuron.reports.drawing import png

    results = line.results(run)
    keys = keys_of(results)
    found = Table3.of(run, keys, comparable=results.comparable)
    for table in found.tables():
        show_table(table)
    files = found.files()
    if rows := convincing(run, keys):
        files["fooling.png"] = png(fooling_sheet(rows, f"{results.model}: fooled most"))
    for pair, (first, *_) in rows.items():
        print(f"most convincing of {pair}: {first.picture}, margin {first.margin:.3f}")
    folder = f"attack-{results.name}"
    for name, data in files.items():
        print(f"{name}: {run.put_file(f'{folder}/{name}', data)}")


def review(chosen: argparse.Namespace) -> int:
    """`clipneuron review`."""
    from clipneuron.attack.review.server import serve

    run = chosen_run(chosen)
    keys = keys_of(_last_attack(run, chosen.attack))
    if chosen.adopted:
        return _import(run, chosen.adopted)
    if chosen.export:
        return _export(run, keys.pictures, chosen.export)
    if not chosen.reviewer:
        raise ValueError("whose decisions will these be? Give a name with --reviewer")
    with serve(run, keys, reviewer=chosen.reviewer, port=chosen.port) as page:
        print(f"review at {page.url} (Ctrl-C ends it; every decision is on record at once)")
        page.wait()
    return 0


def _last_attack(run: "Run", name: str) -> "AttackResults":
    """The attack that the run was last asked for, or the last whose name begins so; raises ValueError."""
    from clipneuron.attack.results import AttackResults

    there = run.results(AttackResults)
    for results in there:
        if results.name.startswith(name):
            return results
    names = (
        ", ".join(results.name for results in there) or "none: make one with `clipneuron attack`"
    )
    raise ValueError(f"run {run.name} has no attack {name!r}; it has {names}")


def keys_of(results: "AttackResults") -> "ReviewKeys":
    """What the review shows of an attack."""
    from clipneuron.attack.review.deck import ReviewKeys

    return ReviewKeys(results.pictures, results.verdicts, results.screening)


def _export(run: "Run", stage: str, to: str) -> int:
    from pathlib import Path

    from clipneuron.attack.review import decisions

    rows = decisions.history(run, stage)
    path = Path(to)
    export = decisions.as_csv if path.suffix == ".csv" else decisions.as_parquet
    path.write_bytes(export(rows))
    print(f"{rows.num_rows:,} decisions: {path}")
    for each in decisions.agreements(decisions.standing(rows)):
        kappa = "" if each.kappa is None else f", Cohen's kappa {each.kappa:.2f}"
        print(f"{each.first} and {each.second} agree on {each.same} of {each.pictures}{kappa}")
    return 0


def _import(run: "Run", source: str) -> int:
    from pathlib import Path

    from clipneuron.attack.review import decisions

    rows = decisions.load(Path(source))
    print(f"{decisions.adopt(run, rows):,} of {rows.num_rows:,} decisions are new to {run.name}")
    return 0


def trace(chosen: argparse.Namespace) -> int:
    """`clipneuron trace`."""
    from pathlib import Path

    from clipneuron.attack.trace import traced

    found = traced(chosen_run(chosen), chosen.picture)
    for table in found.tables():
        show_table(table)
    if chosen.to and found.image:
        Path(chosen.to).write_bytes(found.image)
        print(f"picture: {chosen.to}")
    return 0
