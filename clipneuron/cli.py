"""The command line: everything a person types. Results go to standard output, progress to standard error."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clipneuron.storage.errors import StoreError
from clipneuron.version import __version__

EXAMPLES = """\
examples:
  clipneuron run --recipe demo --store demo-run
      describe every neuron of the demo model, on rendered pictures
  clipneuron run --recipe vit_b_32 --images /data/imagenet/train --store runs
      the paper's setting, with OpenAI's ViT-B-32
  clipneuron run --model ViT-B-16 --pretrained openai --images photos/ --layers 8,9,10 --pool words-10k --store runs
      any open_clip ViT on your own pictures
  clipneuron doctor
      what this machine has and what is missing
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. Expected errors are one sentence unless --debug asks for the traceback."""
    parser = build_parser()
    chosen = parser.parse_args(arguments)
    _log(chosen.verbose)
    try:
        return int(chosen.command(chosen))
    except KeyboardInterrupt:
        print(
            "stopped; what is committed stays, and the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except (ValueError, OSError, RuntimeError, StoreError) as error:
        if chosen.debug:
            raise
        print(f"clipneuron: {error}", file=sys.stderr)
        return 1


def _log(verbose: bool) -> None:
    """Our own log to standard error; the libraries' only with --verbose, since their retries say little."""
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, format="%(message)s")
    logging.getLogger("clipneuron").setLevel(logging.INFO if verbose else logging.WARNING)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="clipneuron",
        description="Second-order effects of CLIP's neurons, described with words.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clipneuron {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_doctor(commands)
    return parser


def _add_command(
    commands: Any, name: str, does: str, function: Any, **more: Any
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description=does[0].upper() + does[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("-v", "--verbose", action="store_true", help="log a line per shard")
    parser.set_defaults(command=function)
    return parser


def _add_run(commands: Any) -> None:
    parser = _add_command(
        commands,
        "run",
        "describe every neuron of a model on a picture collection",
        run,
        epilog=EXAMPLES,
    )
    parser.add_argument("--store", required=True, help="folder of runs; created if it is not there")
    parser.add_argument(
        "--recipe", help="demo, vit_b_32, vit_l_14, or a JSON file with a recipe's fields"
    )
    parser.add_argument(
        "--max-failed-share",
        type=_share,
        default=0.1,
        metavar="SHARE",
        help="give up when more pictures than this cannot be used (default: 0.1)",
    )
    parser.add_argument(
        "--show",
        type=_positive,
        default=3,
        metavar="N",
        help="neurons per layer in the final table",
    )
    _add_recipe_fields(
        parser.add_argument_group("what to compute (in place of the recipe's fields)")
    )


def _add_recipe_fields(group: Any) -> None:
    group.add_argument("--images", help="folder, picture, Parquet file or folder of Parquet files")
    group.add_argument("--model", help="open_clip architecture, local model folder, or demo")
    group.add_argument("--pretrained", help="open_clip tag, or a checkpoint file")
    group.add_argument(
        "--layers",
        type=_layers,
        help="MLP layers, 0-based: 8,9,10 or 6-9 (default: all but the last)",
    )
    group.add_argument(
        "--split", choices=("equal", "centered"), help="layer-norm split (default: equal)"
    )
    group.add_argument(
        "--no-normalize",
        dest="normalize",
        action="store_false",
        default=None,
        help="do not divide effects by |M_image(I)|",
    )
    group.add_argument(
        "--top", type=int, help="top effects per neuron that give its direction (the paper: 100)"
    )
    group.add_argument("--pool", help="demo, words-10k, words-30k, words-N, a text file or a URL")
    group.add_argument(
        "--preparation", choices=("unit", "centered", "authors"), help="of the pool's embeddings"
    )
    group.add_argument("--atoms", type=int, help="texts per neuron (the paper: up to 128)")
    group.add_argument("--every", type=int, help="use every n-th picture")
    group.add_argument("--limit", type=int, help="use at most this many pictures; 0 means all")
    group.add_argument("--shard-size", type=int, help="pictures per commit")
    group.add_argument("--batch-size", type=int, help="pictures per forward pass")
    group.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the model")
    group.add_argument("--device", help="auto (a GPU if there is one), cpu, cuda, cuda:1 ...")


def _add_doctor(commands: Any) -> None:
    parser = _add_command(
        commands, "doctor", "print what this machine and installation have", doctor
    )
    parser.add_argument("--store", default=".", help="where runs would be stored")


def run(chosen: argparse.Namespace) -> int:
    """`clipneuron run`."""
    from rich.console import Console

    from clipneuron.engine.runner import stages_table
    from clipneuron.storage.objects import local_path
    from clipneuron.storage.store import Store
    from clipneuron.sweep import Sweep

    recipe = _recipe(chosen)
    progress = Console(file=sys.stderr)
    store = Store(chosen.store)
    sweep = Sweep.of(recipe, local_path(chosen.store))
    progress.print(sweep.describe(), highlight=False)
    run, reports = sweep.run(store, max_failed_share=chosen.max_failed_share, console=progress)
    out = Console(width=None if sys.stdout.isatty() else 140)
    out.print(stages_table(reports))
    for failure in sweep.unusable(run, shown=5):
        out.print(
            f"not usable, {failure.status}: {failure.reason}", highlight=False, soft_wrap=True
        )
    findings = sweep.findings(run, chosen.show)
    for table in findings.tables():
        out.print(table)
    for name, path in sweep.write_report(run, findings).items():
        out.print(f"{name}: {path}", highlight=False, soft_wrap=True)
    return 0


def doctor(chosen: argparse.Namespace) -> int:
    """`clipneuron doctor`: status 1 when something that is needed is missing."""
    from clipneuron.doctor import findings

    marks = {True: "ok     ", False: "MISSING", None: "       "}
    bad = 0
    for finding in findings(Path(chosen.store)):
        bad += finding.fine is False
        print(f"{marks[finding.fine]} {finding.subject:16} {finding.found}")
    return 1 if bad else 0


FIELDS = [
    "images",
    "model",
    "pretrained",
    "layers",
    "split",
    "normalize",
    "top",
    "pool",
    "preparation",
    "atoms",
    "every",
    "limit",
    "shard_size",
    "batch_size",
    "dtype",
    "device",
]


def _recipe(chosen: argparse.Namespace) -> Any:
    """The recipe by name or file, with the options of the command line in its place."""
    from pydantic import ValidationError

    from clipneuron.recipes import named_recipe

    options = {field: getattr(chosen, field) for field in FIELDS}
    try:
        return named_recipe(
            chosen.recipe, {name: value for name, value in options.items() if value is not None}
        )
    except ValidationError as error:
        lines = [_fault(item) for item in error.errors()]
        raise ValueError("the recipe does not hold together:\n  " + "\n  ".join(lines)) from error


def _fault(item: Any) -> str:
    """What is wrong with one field of a recipe, and how it is given."""
    field = ".".join(map(str, item["loc"]))
    if item["type"] == "missing":
        return f"{field}: give it with --{field}, or take a --recipe that has it"
    return f"{field}: {item['msg']}, not {item['input']!r}"


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: expected a number from 0 to 1")
    return share


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few: expected 1 or more")
    return number


def _layers(text: str) -> tuple[int, ...]:
    """`8,9,10`, `6-9` or a mixture."""
    layers: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            asked = range(int(first), int(last if dash else first) + 1)
            if not asked:
                raise ValueError(part)
            layers += asked
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of layers: expected 8,9,10 or 6-9"
        ) from None
    return tuple(layers)


if __name__ == "__main__":
    sys.exit(main())
