"""`clipneuron segment`: attribution maps as segmentations, of a collection with masks or of single pictures."""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from clipneuron.cli.growing import going_on, is_settled, refuse_growth
from clipneuron.cli.options.fields import add_fields, faults, given
from clipneuron.cli.options.flags import (
    add_engine,
    add_recipe,
    add_store,
    add_until,
    chosen_run,
    nested_fields,
    recipe_of_run,
)
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.run import engine, judged, show_notes
from clipneuron.cli.units import progress_of, show_table
from clipneuron.config import kinds
from clipneuron.config.named import recipe_fields
from clipneuron.config.segmentation import Segmentation
from clipneuron.reports.printing import one_line, print
from clipneuron.reports.quantities import counted

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.config.recipe import Recipe
    from clipneuron.segmentation.pipeline import SegmentationLine
    from clipneuron.store.store import Run

EXAMPLES = """\
examples:
  clipneuron segment --recipe demo --store demo-run
      every method under every protocol on scenes of the demo world with exact masks (Table 4's harness)
  clipneuron segment --recipe vit_b_32 --images imagenet/train --segmentation-images photos --masks masks \\
      --store runs
      on photographs with masks of your own
  clipneuron segment cat.jpg dog.jpg --class cat dog --method second-order legrad --store runs --to maps
      single pictures: each method's map over each picture, and one sheet; the store needs a run with directions
"""


def add_commands(commands: Any) -> None:
    """segment."""
    does = (
        "where in pictures is a class? Second-order maps and their rivals, judged by masks or drawn"
    )
    parser = add_command(commands, "segment", does, segment, epilog=EXAMPLES)
    parser.add_argument(
        "pictures",
        nargs="*",
        metavar="PICTURE",
        help="single pictures to draw maps of; without any, maps are judged by masks",
    )
    add_store(parser)
    single: Any = parser.add_argument_group("single pictures")
    single.add_argument(
        "--class", dest="classes", nargs="+", metavar="NAME", help="classes to draw maps for"
    )
    single.add_argument(
        "--to",
        metavar="FOLDER",
        help="where drawings go (default: segmented)",
    )
    single.add_argument(
        "--run",
        help="name of the run with the directions, or how it begins (default: the only one)",
    )
    add_until(parser, kinds.SEGMENTATION)
    add_fields(
        parser,
        "segmentation",
        "what is judged by which masks, and how (in place of the recipe's fields)",
    )
    add_recipe(parser)
    add_engine(parser)


def segment(chosen: argparse.Namespace) -> int:
    """`clipneuron segment`."""
    if chosen.pictures:
        refuse_growth(chosen)
        return _draw(chosen)
    for option, value in (("--class", chosen.classes), ("--to", chosen.to), ("--run", chosen.run)):
        if value:
            raise ValueError(
                f"{option} goes with single pictures, and none was named: name some, or leave it out to judge maps by "
                "masks"
            )
    return _judge(chosen)


def _judge(chosen: argparse.Namespace) -> int:
    """Maps of a collection, by masks."""
    from clipneuron.engine.runner import stages_table
    from clipneuron.segmentation.inputs import check

    progress = progress_of(chosen)
    with judged(chosen, check) as (recipe, store):
        from clipneuron.segmentation.pipeline import SegmentationLine

        line = SegmentationLine.of(recipe, store)
        line = replace(line, sweep=going_on(chosen, line.sweep))
    if is_settled(chosen, line.sweep, line):
        return 0
    progress.print(line.describe(), highlight=False)
    with engine(chosen, progress, line.sweep.open()) as runner:
        run, reports = line.run(runner, until=chosen.until)
    show_table(stages_table(reports))
    show_notes(run)
    if chosen.until:
        print(f"tables: {run.url}")
    else:
        conclude(line, run)
    return 0


def conclude(line: "SegmentationLine", run: "Run") -> None:
    """Print the matrix, and write the report."""
    from clipneuron.segmentation.report import segmentation_report, write_report

    report = segmentation_report(line, run)
    places = write_report(run, report)
    for table in report.tables():
        show_table(table)
    for name, place in places.items():
        print(f"{name}: {place}")


def _draw(chosen: argparse.Namespace) -> int:
    """Maps of single pictures."""
    from pathlib import Path

    from clipneuron.segmentation.given import check_given, read_pictures

    if not chosen.classes:
        raise ValueError("maps of what? Name classes with --class, such as --class dog")
    run, recipe = _run_of(chosen)
    check_given(run, recipe, chosen.classes)
    pictures, troubles = read_pictures(chosen.pictures)
    if pictures:
        from clipneuron.segmentation.single import drawn, write_drawings

        found = drawn(run, recipe, pictures, chosen.classes)
        for note in found.notes:
            print(f"note: {one_line(note)}", file=sys.stderr)
        troubles += found.troubles
        places = write_drawings(found, Path(chosen.to or "segmented"))
        if places:
            print(f"sheet: {places[0]}")
            print(f"{counted(len(places) - 1, 'maps')}: {places[0].parent}")
    for trouble in troubles:
        print(f"not usable: {one_line(trouble)}", file=sys.stderr)
    return 1 if troubles else 0


def _run_of(chosen: argparse.Namespace) -> "tuple[Run, Recipe]":
    """The run with the directions, and its recipe with the options in its place; raises ValueError."""
    from clipneuron.store.store import Store

    _check_methods(chosen)
    store = Store(chosen.store)
    if not store.look():
        raise ValueError(
            f"there is no run in {store.objects.url} yet, and maps of second order take the directions of a finished "
            f"sweep: `clipneuron run --recipe {chosen.recipe or 'demo'} --store {chosen.store}` makes one"
        )
    if chosen.recipe and not chosen.run:
        chosen.run = f"{recipe_fields(chosen.recipe)['name']}-"
    run = chosen_run(chosen)
    return run, recipe_of_run(run, given(chosen, "recipe") | nested_fields(chosen))


def _check_methods(chosen: argparse.Namespace) -> None:
    """Raises ValueError for fields of the segmentation that mean nothing, before anything is looked for."""
    try:
        Segmentation(**given(chosen, "segmentation"))
    except ValidationError as error:
        raise faults(error, "segmentation") from error
