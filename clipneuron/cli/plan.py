"""`clipneuron plan`: what a run would do and leave, before it does."""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from clipneuron.cli.growing import check_growth, going_on
from clipneuron.cli.options.fields import add_fields, as_options
from clipneuron.cli.options.flags import add_recipe, recipe_of
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.options.values import positive
from clipneuron.cli.units import progress_of, show_table
from clipneuron.reports.markup import terminal
from clipneuron.reports.printing import one_line, print
from clipneuron.reports.quantities import counted, duration, per_second, rate, size

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    import pyarrow as pa

    from clipneuron.config.recipe import Recipe
    from clipneuron.store.store import Run, Store
    from clipneuron.sweep.forecast import Ahead, Expected, Sample
    from clipneuron.sweep.pipeline import Sweep

    _Forecast = tuple[list[Ahead], list[Expected]]

LABELLED = ("images", "image_column", "label_column", "name_column", "member", "classes")
"""What says which pictures are labelled, and how."""

EXAMPLES = """\
examples:
  clipneuron plan --recipe vit_b_32 --images s3://imagenet/train
      list and cut the collection, and try 32 of its pictures: shards, tables, hours and bytes to come
  clipneuron plan --recipe vit_b_32 --images s3://imagenet/train --store s3://runs --no-sample
      commit the plan as well; `clipneuron run` with the same options goes on from it
  clipneuron plan --recipe demo --limit 3000 --store demo-run --extend demo
      the collection has grown: plan what is new as a part of its own
  clipneuron plan --recipe vit_b_32 --images imagenet/train --evaluation-images imagenet/val --classes imagenet
      also show which folder gets which class's name, with a picture of each
"""


def add_commands(commands: Any) -> None:
    """plan."""
    does = "list and cut a collection into shards, and estimate time and storage"
    parser = add_command(commands, "plan", does, plan, epilog=EXAMPLES)
    parser.add_argument(
        "--store", default="", help="commit the plan there (default: only print it)"
    )
    parser.add_argument(
        "--sample", type=positive, default=32, metavar="N", help="pictures to try (default: 32)"
    )
    parser.add_argument(
        "--no-sample", dest="sample", action="store_const", const=0, help="read no picture"
    )
    title = "labelled pictures of `clipneuron reproduce`, to see how their classes are joined with a list of names"
    add_fields(parser, "evaluation", title, only=LABELLED)
    add_recipe(parser)


def plan(chosen: argparse.Namespace) -> int:
    """`clipneuron plan`."""
    from clipneuron.engine.runner import Runner
    from clipneuron.evidence.inputs import check_labelled
    from clipneuron.sweep.inputs import check, check_device

    if (chosen.extend or chosen.grow) and not chosen.store:
        raise ValueError("--extend and --grow go on with a run: give the --store that it is in")
    check_growth(chosen)
    recipe = recipe_of(chosen)
    check(recipe)
    check_labelled(recipe)
    check_device(recipe.device)
    with _place(chosen.store) as store:
        from clipneuron.sweep.forecast import sample_of
        from clipneuron.sweep.pipeline import Sweep

        sweep = going_on(chosen, Sweep.of(recipe, store))
        print(sweep.describe())
        part = sweep.planned_next()
        _print_part(part, sweep)
        if recipe.evaluation.images not in ("", "demo"):
            _print_join(recipe, store)
        found: _Forecast = ([], [])
        if part.num_rows:
            sample = sample_of(sweep, chosen.sample) if chosen.sample else None
            found = _print_forecast(sweep, part, sample)
        if chosen.store:
            run, report = sweep.plan_only(Runner(console=progress_of(chosen)))
            _record(run, found)
            print(
                f"planned: {run.url}, {counted(report.shards, 'parts')}; `clipneuron run` goes on from there"
            )
    return 0


@contextmanager
def _place(asked: str) -> "Iterator[Store]":
    """The store, or one for the time of the block, for the demo's pictures."""
    from clipneuron.store.objects.opening import probe
    from clipneuron.store.objects.traces import no_trace_of_a_failure
    from clipneuron.store.store import Store

    if asked:
        store = Store(asked)
        with no_trace_of_a_failure(store.objects):
            probe(store.objects)
            yield store
        return
    with tempfile.TemporaryDirectory(prefix="clipneuron-") as folder:
        yield Store(folder)


def _print_part(part: "pa.Table", sweep: "Sweep") -> None:
    import pyarrow.compute as pc

    if not part.num_rows:
        print("nothing new: all of these pictures are planned already")
        return
    known = pc.sum(part["size"]).as_py()
    classes = pc.count_distinct(part["label"]).as_py()  # of what is new alone
    shards = pc.count_distinct(part["shard"]).as_py()
    images, cut = counted(part.num_rows, "images"), counted(shards, "shards")
    print(f"to plan   {images} in {cut} of up to {sweep.recipe.shard_size:,}")
    print(f"bytes     {size(known) if known else 'not known before Parquet files are read'}")
    why = sweep.collection.unlabelled
    none = f"none known ({why})" if why else "none known"
    print(f"classes   {classes:,}" if classes else f"classes   {none}")


def _print_join(recipe: "Recipe", store: "Store") -> None:
    """Which class of the list each label of the labelled pictures is, shown on a few."""
    from clipneuron.evidence.inputs import labelled_pictures_of

    found = labelled_pictures_of(recipe, store.objects)
    print(f"labelled  {counted(len(found.pictures), 'images')}; {found.join.summary(found.whole)}")
    rows = found.join.examples(found.whole)
    show_table(terminal("Classes", ("in the collection", "name", "such as"), rows))


def _record(run: "Run", found: "_Forecast") -> None:
    """Keep what was foretold in the run, for `clipneuron usage` to set beside what it took."""
    from clipneuron.operations.usage.forecasts import Foretold, record

    stages, tables = found
    sizes = Counter[str]()
    for table in tables:
        sizes[table.stage] += round(table.size or 0)
    if stages:
        each = {
            item.stage: Foretold(
                rows=item.rows,
                seconds=item.seconds,
                size=sizes[item.stage],
                **asdict(item.traffic) if item.traffic else {},
            )
            for item in stages
        }
        record(run, each)


def _print_forecast(sweep: "Sweep", part: "pa.Table", sample: "Sample | None") -> "_Forecast":
    """What is foretold of stages, of which nothing is known without a sample, and of tables; printed."""
    import pyarrow.compute as pc

    from clipneuron.sweep.forecast import ahead, expected

    measured = sample if sample and sample.is_measured else None
    tables = expected(sweep, part.num_rows, pc.count_distinct(part["shard"]).as_py(), measured)
    show_table(_tables(tables))
    if sample:
        for note in sample.notes:
            print(
                f"note      of {counted(sample.pictures, 'pictures')} tried, {as_options(one_line(note))}"
            )
    stages: list[Ahead] = []
    if measured:
        stages = ahead(sweep, part.num_rows, measured)
        show_table(_stages(stages))
        print(_estimate(measured, stages, tables))
    if sample and sample.failed:
        print(_unusable(sample))
    return stages, tables


def _unusable(sample: "Sample") -> str:
    """What of the sample could not be used, why, and what a run would make of such a share."""
    from clipneuron.engine.runner import MAX_FAILED_SHARE
    from clipneuron.store.upkeep.causes import causes, summary

    line = (
        f"unusable  {len(sample.failed):,} of {counted(sample.pictures, 'pictures of the sample')}: "
        f"{summary(causes(sample.failed))}"
    )
    if sample.failed_share <= MAX_FAILED_SHARE:
        return line
    return (
        f"{line}\n          a run over such pictures would be refused: it stops above {MAX_FAILED_SHARE:.0%}, or "
        "another --max-failed-share"
    )


def _tables(tables: "list[Expected]") -> Any:
    rows = (
        (item.stage, item.table, f"{item.rows:,}", "-" if item.size is None else size(item.size))
        for item in tables
    )
    right = ("rows", "about")
    return terminal("Tables to come", ("stage", "table", *right), rows, right=right)


def _stages(stages: "list[Ahead]") -> Any:
    rows = (
        (
            item.stage,
            counted(item.rows, item.unit),
            per_second(rate(item.rows, item.seconds)),
            duration(item.seconds),
        )
        for item in stages
    )
    right = ("rows", "rate", "about")
    return terminal("Stages to come, in one process here", ("stage", *right), rows, right=right)


def _estimate(sample: "Sample", stages: "list[Ahead]", tables: "list[Expected]") -> str:
    size_of_all = sum(item.size or 0.0 for item in tables)
    time_of_all = sum(item.seconds for item in stages)
    return (
        f"all of it takes about {duration(time_of_all)} that way, and all tables about {size(size_of_all)}\n"
        f"measured on {counted(sample.pictures, 'pictures')}, of which one takes {1000 * sample.load:,.1f} ms to read "
        "and decode, and on a few texts\n"
        "and neurons; merging and scores of words come on top. On a cluster model actors share the passes and the "
        "texts, and tasks the\nneurons, as long as decoding keeps up"
    )
