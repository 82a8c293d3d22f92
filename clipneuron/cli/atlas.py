"""`clipneuron atlas`: a site with a page for every neuron of a run, or single neurons in one file."""

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipneuron.cli.options.fields import add_fields, given
from clipneuron.cli.options.flags import (
    add_engine,
    add_recipe,
    add_store,
    check_cluster,
    recipe_of,
    recipe_of_run,
)
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import neuron
from clipneuron.cli.run import engine
from clipneuron.cli.units import progress_of, show_table
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.atlas.gather.sources import Compared
    from clipneuron.atlas.pipeline import AtlasLine, AtlasStages
    from clipneuron.config.recipe import Recipe
    from clipneuron.reports.consoles import Console
    from clipneuron.store.objects.protocol import Objects
    from clipneuron.store.store import Run, Store

EXAMPLES = """\
examples:
  clipneuron atlas demo --store demo-run --out demo-atlas
      a page for every neuron of a finished run; open demo-atlas/index.html, no server is needed
  clipneuron atlas vit_b_32 --store s3://runs --out s3://sites/vit_b_32 --address auto
      made on a cluster, written to object storage; the same command later writes only what has changed
  clipneuron atlas demo-1f0c --store runs --out atlas --against demo-77ab
      beside the same neurons of another run, those that changed most first
  clipneuron atlas demo --store demo-run --neurons 8:4 8:39 --single cards.html
      a few neurons in one file that opens by double click; a .png is a picture of one
"""
SINGLE = (".html", ".png")


def add_commands(commands: Any) -> None:
    """atlas."""
    does = "make a site with a page for every neuron, word and picture of a finished run"
    parser = add_command(commands, "atlas", does, atlas, epilog=EXAMPLES)
    parser.add_argument(
        "run",
        nargs="?",
        default="",
        metavar="RUN",
        help="name of the run, or how it begins (default: that of --recipe, or the only one)",
    )
    add_store(parser)
    parser.add_argument(
        "--out",
        "--to",
        dest="site",
        default="",
        metavar="FOLDER",
        help="where the site goes: a folder, or s3://bucket/prefix; one that is there is brought up to date",
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="RUN",
        help="another run that neurons are shown beside, by its name or how it begins",
    )
    parser.add_argument(
        "--against-store",
        default="",
        metavar="STORE",
        help="where that run is (default: in --store)",
    )
    single: Any = parser.add_argument_group("a few neurons instead of a site")
    single.add_argument(
        "--neurons",
        dest="cards",
        nargs="+",
        type=neuron,
        default=(),
        metavar="LAYER:NEURON",
        help="neurons whose cards are wanted",
    )
    single.add_argument(
        "--single",
        default="",
        metavar="FILE",
        help="write their cards to this file, which ends in .html or .png",
    )
    add_fields(parser, "atlas", "what the pages show (in place of the recipe's fields)")
    add_recipe(parser)
    add_engine(parser)


def atlas(chosen: argparse.Namespace) -> int:
    """`clipneuron atlas`."""
    from clipneuron.store.store import Store

    _check(chosen)
    check_cluster(chosen)
    place = _place(chosen) if chosen.site else None
    store = Store(chosen.store)
    run, recipe = _asked(chosen, store)
    if chosen.engine == "in-process":
        from clipneuron.sweep.inputs import check_device

        check_device(recipe.device)
    from clipneuron.engine.runner import stages_table

    progress = progress_of(chosen)
    line = _line(chosen, recipe, store, run)
    progress.print(line.describe(), highlight=False)
    with engine(chosen, progress, line.run) as runner:
        reports, stages = line.bring(runner)
    show_table(stages_table(reports))
    if place:
        _publish(line, stages, place, progress)
    else:
        _write_cards(chosen, line, stages)
    return 0


def check_elsewhere(chosen: argparse.Namespace) -> None:
    """Raises ValueError for what means nothing to a job on another machine."""
    if chosen.run:
        raise ValueError(
            "a job knows its run by the recipe: give --recipe and the run's own options instead of RUN"
        )
    if chosen.single:
        raise ValueError("--single would write a file on the cluster: make single cards here")
    if "://" not in chosen.site and not Path(chosen.site).is_absolute():
        raise ValueError(
            f"--to is {chosen.site!r}, a path that depends on where this command is typed: give the absolute path that "
            "all nodes of the cluster have, or s3://bucket/prefix"
        )


def _check(chosen: argparse.Namespace) -> None:
    """Raises ValueError for words that mean nothing together."""
    if chosen.extend:
        raise ValueError("--extend belongs to `clipneuron run`: extend the run first, then this")
    if bool(chosen.site) == bool(chosen.single):
        raise ValueError(
            "where to? Give --out FOLDER for a site, or --neurons LAYER:NEURON and --single FILE for a few cards"
        )
    if bool(chosen.cards) != bool(chosen.single):
        raise ValueError("--neurons and --single go together: which neurons, and into which file")
    if chosen.single:
        if Path(chosen.single).suffix not in SINGLE:
            raise ValueError(
                f"--single {chosen.single}: expected a name that ends in .html or .png"
            )
        if Path(chosen.single).suffix == ".png" and len(chosen.cards) > 1:
            raise ValueError("a .png is of one neuron: name one, or write a .html of several")
        if not Path(chosen.single).resolve().parent.is_dir():
            raise ValueError(f"--single {chosen.single}: there is no such folder, make it first")
    if chosen.against_store and not chosen.against:
        raise ValueError("--against-store says where the run of --against is: name that as well")


def _place(chosen: argparse.Namespace) -> "Objects":
    """Where the site goes; raises ValueError, before any work, for what is no place for one."""
    from clipneuron.atlas.site import check
    from clipneuron.store.objects.opening import open_objects

    place = open_objects(chosen.site)
    check(place)
    return place


def _asked(chosen: argparse.Namespace, store: "Store") -> "tuple[Run | None, Recipe]":
    """The run and the recipe that it was made by, with the options in its place; None for the run that a recipe names.

    Raises ValueError where there is none, or several.
    """
    if chosen.recipe and not chosen.run:
        return None, recipe_of(chosen)
    if chosen.recipe:
        raise ValueError(
            "RUN says which recipe it was made by, so leave out --recipe, or name the run by --recipe alone"
        )
    names = [run.name for run in store.look()]
    if not chosen.run and len(names) != 1:
        there = ", ".join(names) or "none"
        raise ValueError(f"which run? Name one of those in {store.objects.url}: {there}")
    run = store.find_run(chosen.run or names[0])
    options = {**given(chosen, "recipe"), "atlas": given(chosen, "atlas")}
    return run, recipe_of_run(run, options)


def _line(
    chosen: argparse.Namespace, recipe: "Recipe", store: "Store", run: "Run | None"
) -> "AtlasLine":
    from clipneuron.atlas.pipeline import AtlasLine

    # A named run is compared before its model is loaded: runs of unlike models are refused at once.
    against = _compared(chosen, store, run) if chosen.against and run else None
    line = AtlasLine.of(recipe, store, run, chosen=tuple(chosen.cards))
    if chosen.against:
        line = line.beside(against or _compared(chosen, store, line.run))
    return line


def _compared(chosen: argparse.Namespace, store: "Store", run: "Run") -> "Compared":
    """The other run, and how neurons differ from its; raises ValueError where they cannot be compared."""
    from clipneuron.atlas.inputs import compared_with
    from clipneuron.operations.compare.comparison import Comparison
    from clipneuron.operations.compare.sides import Side, two_runs
    from clipneuron.store.store import Store

    other = Store(chosen.against_store) if chosen.against_store else None
    one, another = two_runs(store, (run.name, chosen.against), other=other)
    try:
        changes = Comparison.of(Side.of(another), Side.of(one)).short
    except ValueError as error:
        raise ValueError(f"--against {chosen.against}: {error}") from None
    return compared_with(another, changes)


def _publish(
    line: "AtlasLine", stages: "AtlasStages", place: "Objects", progress: "Console"
) -> None:
    """Write the site, and say where to open it."""
    from clipneuron.atlas.addresses import FRONT
    from clipneuron.atlas.site import files_of, publish
    from clipneuron.engine.meters import meter

    total = files_of(line.run, stages.results)
    with meter(progress, "site", total, 0, "files") as bar:
        done = publish(line.run, stages.results, place, bar.advance)
    changed = f"{counted(done.written, 'files')} written, {done.kept:,} as they were"
    gone = f", {done.removed:,} removed" if done.removed else ""
    print(f"site: {changed}{gone}; {done.size / 1e6:,.1f} MB in all")
    print(f"open: {place.location(FRONT)}")


def _write_cards(chosen: argparse.Namespace, line: "AtlasLine", stages: "AtlasStages") -> None:
    """The cards of some neurons, in one file."""
    from clipneuron.atlas.alone import gathered

    cards, site, tiles = gathered(line, stages)
    if Path(chosen.single).suffix == ".png":
        from clipneuron.atlas.html.drawing import card_png

        with warnings.catch_warnings(record=True) as told:
            data = card_png(cards[0], site, tiles)
        for warning in told:
            print(f"clipneuron: {warning.message}", file=sys.stderr)
    else:
        from clipneuron.atlas.html.single import single

        data = single(cards, site, tiles).encode(errors="xmlcharrefreplace")
    Path(chosen.single).write_bytes(data)
    print(f"{counted(len(chosen.cards), 'neurons')}: {chosen.single}")
