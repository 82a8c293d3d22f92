"""The options of submitting a verb, and the verb's own ones for another machine."""

import argparse
from pathlib import Path
from typing import Any

from clipneuron.cli.options.parser import Parser
from clipneuron.cli.options.values import one_of, positive, seconds, whole
from clipneuron.config.named import portable


def add_submitting(parser: argparse.ArgumentParser) -> None:
    """How to submit, or what to render instead."""
    group: Any = parser.add_argument_group("how to submit")
    add_address(group)
    group.add_argument(
        "--again", action="store_true", help="a new try even if the last one has succeeded"
    )
    group.add_argument(
        "--no-wait", action="store_true", help="submit the job and return; nobody retries it then"
    )
    group.add_argument(
        "--no-checks", action="store_true", help="do not look around the cluster before"
    )
    group.add_argument(
        "--job-retries",
        type=whole,
        default=0,
        metavar="N",
        help="times that the whole job is submitted again when it fails or its cluster dies (default: 0)",
    )
    group.add_argument(
        "--deadline",
        type=seconds,
        default=None,
        metavar="TIME",
        help="stop the job when this command has run so long, such as 12h",
    )
    add_patience(group)
    group.add_argument(
        "--python",
        default="python",
        help="interpreter on the cluster (default: the one that its PATH has)",
    )
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="environment variable of the job on all nodes; the cluster's dashboard shows it",
    )
    group = parser.add_argument_group("as a script instead")
    group.add_argument(
        "--as", dest="form", type=one_of(("slurm",)), metavar="{slurm}", help="print the script"
    )
    group.add_argument("--out", metavar="FILE", help="write the script there")
    group.add_argument(
        "--nodes", type=positive, default=1, metavar="N", help="of the allocation (default: 1)"
    )
    group.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="a further option of sbatch, such as --sbatch=--partition=gpu; as often as needed",
    )


def add_address(parser: Any) -> None:
    """`--address` of a job server."""
    parser.add_argument(
        "--address",
        default="",
        help="of the cluster's job server, such as http://HEAD:8265 (default: RAY_API_SERVER_ADDRESS, RAY_ADDRESS, or "
        "a cluster on this machine)",
    )


def add_patience(parser: Any) -> None:
    """`--patience`."""
    parser.add_argument(
        "--patience",
        type=seconds,
        default=900.0,
        metavar="TIME",
        help="how long the job server may be silent before this command gives up; the job goes on (default: 15m)",
    )


def words_for_elsewhere(chosen: argparse.Namespace, store: str) -> list[str]:
    """The verb's options for another machine, without those of submitting."""
    own = Parser(add_help=False, carries=True)
    add_submitting(own)
    own.add_argument("--store")
    own.add_argument("--recipe")
    typed = chosen.typed[chosen.typed.index(chosen.verb) + 1 :]
    rest = own.parse_known_args(typed)[0].words
    recipe = ["--recipe", portable(chosen.recipe)] if chosen.recipe else []
    return [*recipe, "--store", store, *rest]


def absolute(store: str) -> str:
    """The store's address wherever the job runs."""
    if "://" in store:
        return store
    return str(Path(store).expanduser().absolute())


def variable(text: str) -> tuple[str, str]:
    """What `--env` says; raises ValueError."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"--env {text!r} is no variable: expected NAME=VALUE")
    return name, value
