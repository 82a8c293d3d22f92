"""`clipneuron concepts`: what pictures show, by the neurons that are activated on them."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipneuron.cli.growing import going_on, is_settled, refuse_growth
from clipneuron.cli.options.fields import add_fields, given
from clipneuron.cli.options.flags import (
    add_engine,
    add_recipe,
    add_store,
    add_until,
    recipe_of_run,
)
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.run import engine, judged, show_notes
from clipneuron.cli.units import progress_of, show_table
from clipneuron.config import kinds
from clipneuron.config.named import recipe_fields
from clipneuron.config.recipe import Recipe
from clipneuron.reports.printing import one_line, print
from clipneuron.reports.quantities import counted

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.concepts.pipeline import ConceptsLine
    from clipneuron.concepts.swept import SweptStages
    from clipneuron.store.store import Run

EXAMPLES = """\
examples:
  clipneuron concepts cat.jpg holiday/beach.png --store demo-run
      the concepts of some pictures by the neurons of a finished sweep, with the patches behind them, in concepts.png
  clipneuron concepts --recipe demo --store demo-run
      in bulk: the demo's scenes, an index from concepts to pictures, and how true each method's concepts are
  clipneuron concepts --recipe vit_b_32 --images imagenet/train --concepts-images photos --store runs
      any collection; without --concepts-images, the swept pictures themselves
"""


def add_commands(commands: Any) -> None:
    """concepts."""
    does = (
        "name what pictures show by the neurons that are activated on them, one by one or in bulk"
    )
    parser = add_command(commands, "concepts", does, concepts, epilog=EXAMPLES)
    parser.add_argument(
        "pictures",
        nargs="*",
        metavar="PICTURE",
        help="picture files, with a finished sweep in the store; without any, concepts are found in bulk",
    )
    add_store(parser)
    parser.add_argument(
        "--run",
        default="",
        help="of PICTURE: name of the run, or how it begins (default: that of the recipe)",
    )
    parser.add_argument(
        "--to",
        default="concepts.png",
        metavar="FILE",
        help="of PICTURE: where the sheet goes (default: concepts.png)",
    )
    add_until(parser, kinds.CONCEPTS)
    add_fields(parser, "concepts", "how concepts are found (in place of the recipe's fields)")
    add_recipe(parser)
    add_engine(parser)


def concepts(chosen: argparse.Namespace) -> int:
    """`clipneuron concepts`."""
    if chosen.pictures:
        refuse_growth(chosen)
        return of_pictures(chosen)
    return in_bulk(chosen)


def in_bulk(chosen: argparse.Namespace) -> int:
    """The line of work, with commits."""
    from clipneuron.concepts.inputs import check
    from clipneuron.engine.runner import stages_table

    progress = progress_of(chosen)
    with judged(chosen, check) as (recipe, store):
        from clipneuron.concepts.pipeline import ConceptsLine

        line = ConceptsLine.of(recipe, store)
        line = replace(line, sweep=going_on(chosen, line.sweep))
    if is_settled(chosen, line.sweep, line):
        return 0
    progress.print(line.describe(), highlight=False)
    with engine(chosen, progress, line.sweep.open()) as runner:
        run, reports = line.run(runner, until=chosen.until)
    if not chosen.until:
        conclude(line, run)
    show_table(stages_table(reports))
    show_notes(run)
    print(f"tables: {run.url}")
    return 0


def conclude(line: "ConceptsLine", run: "Run") -> None:
    """Print how true the concepts are, and write the report."""
    from clipneuron.concepts.report import concepts_report, write_report

    report = concepts_report(line, run)
    for table in report.tables():
        show_table(table)
    for name, place in write_report(run, report).items():
        print(f"{name}: {place}")


def of_pictures(chosen: argparse.Namespace) -> int:
    """Single pictures: a table each, and one sheet; 1 where some of them cannot be used."""
    from clipneuron.concepts.inputs import layers_of
    from clipneuron.concepts.swept import left_out, swept_stages
    from clipneuron.sweep.inputs import check_device

    files = [_checked(name) for name in chosen.pictures]
    run = _run_of(chosen)
    recipe = _recipe_of(chosen, run)
    command = f"clipneuron run {f'--recipe {chosen.recipe} ' if chosen.recipe else ''}--store {chosen.store}"
    stages = swept_stages(run, recipe.concepts, command)
    layers_of(recipe.concepts, stages.layers, stages.layers)
    check_device(recipe.device)
    if missing := left_out(recipe.concepts, stages):
        print(
            f"note: {' and '.join(missing)} take means over swept pictures, which this run does not have yet: "
            f"`clipneuron concepts --store {chosen.store}` with the run's own options, and no pictures, makes them"
        )
    kept = tuple(method for method in recipe.concepts.methods if method not in missing)
    if not kept:
        raise ValueError("no method is left: add second-order to `concepts.methods`")
    asked = recipe.concepts.model_copy(update={"methods": kept})
    return _shown(chosen, files, run, recipe.model_copy(update={"concepts": asked}), stages)


def _shown(
    chosen: argparse.Namespace,
    files: Sequence[Path],
    run: "Run",
    recipe: Recipe,
    stages: "SweptStages",
) -> int:
    """Each picture's table as soon as it is there, and the sheet of all of them."""
    from clipneuron.concepts.ready import finder_of, preprocess_of
    from clipneuron.concepts.sheet import concepts_sheet
    from clipneuron.concepts.single import Seen, seen
    from clipneuron.demo import CAVEAT
    from clipneuron.models.clip.preprocessing.preprocess import PictureError
    from clipneuron.reports.drawing import png

    finder = finder_of(run, recipe, stages)
    preprocess, asked = preprocess_of(finder, recipe), recipe.concepts
    found: list[Seen] = []
    for file in files:
        try:
            one = seen(
                finder, preprocess, file.read_bytes(), file.name, asked.count, asked.strongest
            )
        except (PictureError, OSError) as error:
            print(f"not usable: {file}: {one_line(str(error))}", file=sys.stderr)
            continue
        show_table(one.table())
        found.append(one)
    if found:
        note = f"; {CAVEAT}" if recipe.model == "demo" else ""
        sheet = concepts_sheet(found, f"{finder.clip.name}, run {run.name}{note}")
        Path(chosen.to).write_bytes(png(sheet))
        print(f"sheet: {chosen.to}")
    failed = len(files) - len(found)
    if failed:
        print(f"{counted(failed, 'pictures')} could not be used", file=sys.stderr)
    return 1 if failed else 0


def _checked(name: str) -> Path:
    """The file of this name; raises ValueError where there is none."""
    path = Path(name)
    if path.is_dir():
        raise ValueError(
            f"{name} is a folder: name its pictures one by one, or give it as --concepts-images to have them in bulk"
        )
    if not path.is_file():
        raise ValueError(f"there is no file {name}: expected pictures, check the path")
    return path


def _run_of(chosen: argparse.Namespace) -> "Run":
    """The run that --run or --recipe names, or the only one; raises ValueError where there is none."""
    from clipneuron.store.store import Store

    store = Store(chosen.store)
    begins = chosen.run or (f"{recipe_fields(chosen.recipe)['name']}-" if chosen.recipe else "")
    runs = [run.name for run in store.look(begins)]
    if len(runs) == 1:
        return store.find_run(runs[0])
    if not runs:
        recipe = chosen.recipe or "demo"
        raise ValueError(
            f"there is no finished sweep{f' of {begins}' if begins else ''} in {store.objects.url}, which concepts of "
            f"single pictures need: make one with `clipneuron run --recipe {recipe} --store {chosen.store}`"
        )
    raise ValueError(f"{store.objects.url} has several runs: give --run, one of {', '.join(runs)}")


def _recipe_of(chosen: argparse.Namespace, run: "Run") -> Recipe:
    """The run's recipe, with the concepts of the recipe that is named, and the options in its place."""
    named: Mapping[str, Any] = recipe_fields(chosen.recipe) if chosen.recipe else {}
    asked = {**named.get("concepts", {}), **given(chosen, "concepts")}
    return recipe_of_run(run, {**given(chosen, "recipe"), "concepts": asked})
