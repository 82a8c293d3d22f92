"""Options that several commands share, and what their texts mean."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from clipneuron.cli.options.fields import add_fields, faults, given
from clipneuron.cli.options.values import notified, one_of, positive, share
from clipneuron.config.cluster import ClusterOptions
from clipneuron.config.named import RECIPES, SECTIONS, named_recipe, over
from clipneuron.config.overlap import BUSY, OVERLAP
from clipneuron.config.recipe import Recipe

if TYPE_CHECKING:  # Arrow comes with the store: --help is spared it
    from clipneuron.store.store import DamagedRun, Run

ENGINES = ("ray", "in-process")


def add_store(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """`--store`."""
    where = "where runs are: a folder, or s3://bucket/prefix"
    parser.add_argument("--store", required=required, default="", help=where)


def add_run_name(
    parser: argparse.ArgumentParser, otherwise: str = "the only one there", required: bool = True
) -> None:
    """`--store` and `--run`."""
    add_store(parser, required)
    parser.add_argument(
        "--run", default="", help=f"name of the run, or how it begins (default: {otherwise})"
    )


def add_run_address(parser: argparse.ArgumentParser) -> None:
    """The run's address as a word of its own, `--store` and `--run`."""
    parser.add_argument(
        "address",
        nargs="?",
        default="",
        metavar="RUN",
        help="the run's address, or its name in --store",
    )
    add_run_name(parser, required=False)


def add_until(parser: argparse.ArgumentParser, kinds: tuple[str, ...]) -> None:
    """`--until` one of the stages of a line of work."""
    parser.add_argument(
        "--until",
        type=one_of(kinds, "stage"),
        metavar="STAGE",
        help=f"stop after the last stage of this kind: {', '.join(kinds)}; the same command without it goes on "
        "from there",
    )


def add_show(parser: argparse.ArgumentParser) -> None:
    """`--show`."""
    parser.add_argument(
        "--show", type=positive, default=3, metavar="N", help="neurons per layer in the final table"
    )


def chosen_run(chosen: argparse.Namespace) -> "Run":
    """The run that `--store` and `--run` name; raises ValueError where they leave a choice, or none."""
    from clipneuron.store.store import Store

    store = Store(chosen.store)
    if chosen.run:
        return store.find_run(chosen.run)
    runs = runs_of(chosen)
    if len(runs) == 1:
        return store.find_run(runs[0].name)
    names = ", ".join(run.name for run in runs)
    raise ValueError(f"{store.objects.url} has {len(runs)} runs: give --run, one of {names}")


def run_at(chosen: argparse.Namespace) -> "Run":
    """The run by its address, or by a name in the store; raises ValueError."""
    from pathlib import Path

    from clipneuron.store.store import Store

    if chosen.store:
        chosen.run = chosen.run or chosen.address
        return chosen_run(chosen)
    store, _, name = chosen.address.rstrip("/").rpartition("/")
    if not name or not (store or Path(name).is_dir()):
        raise ValueError("which run? Give its address, such as demo-run/demo-1f0c, or --store")
    return Store(store or ".").find_run(name)


def runs_of(chosen: argparse.Namespace) -> "Sequence[Run | DamagedRun]":
    """The run that `--run` names or, without it, all that `--store` has; raises ValueError where there is none."""
    from clipneuron.store.store import Store

    store = Store(chosen.store)
    if chosen.run:
        return [store.find(chosen.run)]
    runs = store.look()
    if not runs:
        raise ValueError(f"there is no run in {store.objects.url} yet: check --store")
    return runs


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """`--recipe`, `--extend`, `--grow` and the fields of a recipe."""
    parser.add_argument(
        "--recipe",
        help=f"{', '.join(RECIPES)}, or a JSON or TOML file with a recipe's fields, or those as JSON",
    )
    parser.add_argument(
        "--extend",
        default="",
        metavar="RUN",
        help="go on with this run on a collection that has grown since",
    )
    parser.add_argument(
        "--grow",
        action="store_true",
        help="go on with the run of this recipe that the store has, if only pictures have been added since; where "
        "nothing has, compute nothing",
    )
    add_fields(
        parser,
        "recipe",
        "what to compute (in place of the recipe's fields; defaults are those without a recipe)",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Where to compute, with how much, and when to give up."""
    group: Any = parser.add_argument_group("where to compute")
    group.add_argument(
        "--engine",
        type=one_of(ENGINES),
        metavar="{" + ",".join(ENGINES) + "}",
        default="ray",
        help="a Ray cluster (one is started here if there is none), or this process alone (default: ray)",
    )
    add_fields(group, "cluster")
    group.add_argument(
        "--overlap",
        type=one_of(OVERLAP),
        metavar="{" + ",".join(OVERLAP) + "}",
        default="allow",
        help="where another command is at work on the same run: work beside it, which is harmless, begin when it has "
        f"ended, or leave it to that one with status {BUSY} (default: allow)",
    )
    group.add_argument(
        "--attempts",
        type=positive,
        default=3,
        help="failed attempts after which a shard is set aside (default: 3)",
    )
    group.add_argument(
        "--max-failed-share",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="give up when more pictures than this cannot be used (default: 0.1)",
    )
    group.add_argument(
        "--notify",
        type=notified,
        metavar="URL|COMMAND",
        help="at the end, however it ends, what was done as JSON: by POST, or to the command's standard input",
    )


def recipe_of(chosen: argparse.Namespace) -> Recipe:
    """The recipe by name or file, with the options of the command line in its place; raises ValueError."""
    try:
        return named_recipe(chosen.recipe, given(chosen, "recipe") | nested_fields(chosen))
    except ValidationError as error:
        raise faults(error, "recipe") from error


def cluster_of(chosen: argparse.Namespace) -> ClusterOptions:
    """The cluster that the options ask for; raises ValueError."""
    try:
        return ClusterOptions(**given(chosen, "cluster"))
    except ValidationError as error:
        raise faults(error, "cluster") from error


def check_cluster(chosen: argparse.Namespace) -> None:
    """Raises ValueError for options of a cluster that mean nothing, and where none answers at its address."""
    options = cluster_of(chosen)
    if chosen.engine == "ray":
        from clipneuron.engine.cluster.addresses import check_address

        check_address(options.address)


def nested_fields(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of the sections of a recipe."""
    found = {name: given(chosen, name) for name in SECTIONS}
    return {name: own for name, own in found.items() if own}


def recipe_of_run(run: "Run", options: Mapping[str, Any]) -> Recipe:
    """The recipe of the run's last command, with these options in its place where they say something.

    Raises ValueError where the run was not begun by a recipe.
    """
    order = run.announced()
    fields = (order.details if order else run.record.details).get("recipe")
    if fields is None:
        raise ValueError(f"run {run.name} does not say by which recipe it was begun: it has none")
    try:
        return Recipe(**over(fields, {name: value for name, value in options.items() if value}))
    except ValidationError as error:
        raise faults(error, "recipe") from error
