"""The commands that compute: run, and the single stages that jobs submit."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from clipneuron.cli import signals
from clipneuron.cli.growing import check_growth, going_on, is_settled
from clipneuron.cli.noticing import shown_command
from clipneuron.cli.options.fields import as_options
from clipneuron.cli.options.flags import (
    add_engine,
    add_recipe,
    add_show,
    add_store,
    add_until,
    check_cluster,
    cluster_of,
    recipe_of,
)
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.units import progress_of, show_table
from clipneuron.config import kinds
from clipneuron.config.recipe import Recipe
from clipneuron.reports.printing import one_line, print

# torch and Ray take seconds to import, which --help and the other commands are spared.
if TYPE_CHECKING:
    from clipneuron.engine.runner import Runner
    from clipneuron.reports.consoles import Console
    from clipneuron.store.store import Run, Store
    from clipneuron.sweep.pipeline import Sweep

RUN_EXAMPLES = """\
examples:
  clipneuron run --recipe demo --store demo-run
      the whole demo, on a Ray cluster that is started for it; --engine in-process does without Ray
  clipneuron run --model ViT-B-16 --pretrained openai --images photos/ --layers 8,9,10 --pool words-10k --store runs
      any open_clip ViT on your own pictures
  clipneuron run --recipe vit_b_32 --images s3://imagenet/train --store s3://runs --address auto --actor-gpus 0.5
      on a cluster with GPUs, two models on each
  clipneuron run --recipe vit_b_32 --images s3://imagenet/train --store s3://runs --calibrate-on 5000
      the mean effects from 5,000 pictures, as in the paper, and a single pass over all
  clipneuron run --recipe vit_b_32 --images photos/ --store runs --cache /local/pixels --cache-size 200
      decode every picture once: later passes, runs and `reproduce` read the pixels that are kept, 200 GB at most
  clipneuron run --recipe demo --limit 3000 --store demo-run --extend demo
      the collection has grown: only what is new is swept, and all neurons are described anew
"""


def add_commands(commands: Any) -> None:
    """run."""
    parser = add_command(
        commands,
        "run",
        "describe every neuron of a model on a picture collection",
        run,
        epilog=RUN_EXAMPLES,
    )
    add_store(parser)
    add_until(parser, kinds.SWEEP)
    add_show(parser)
    add_recipe(parser)
    add_engine(parser)


def run(chosen: argparse.Namespace) -> int:
    """`clipneuron run`."""
    from clipneuron.engine.runner import stages_table
    from clipneuron.sweep.inputs import check

    progress = progress_of(chosen)
    with judged(chosen, check) as (recipe, store):
        from clipneuron.readers.sweep import unusable
        from clipneuron.sweep.pipeline import Sweep

        sweep = going_on(chosen, Sweep.of(recipe, store))
    if is_settled(chosen, sweep, sweep):
        return 0
    progress.print(sweep.describe(), highlight=False)
    with engine(chosen, progress, sweep.open()) as runner:
        done, reports = sweep.run(runner, until=chosen.until)
    show_table(stages_table(reports))
    for failure in islice(unusable(done).values(), 5):
        print(f"not usable, {failure.status}: {one_line(failure.reason)}")
    show_notes(done)
    if chosen.until:
        print(f"tables: {done.url}")
    else:
        conclude(sweep, done, chosen.show)
    return 0


def show_notes(done: "Run") -> None:
    """Print what is to be said of the run's pictures, pools and descriptions."""
    from clipneuron.sweep.notes import run_notes

    for note in run_notes(done):
        print(f"note: {as_options(one_line(note))}")


def conclude(sweep: "Sweep", done: "Run", per_layer: int) -> None:
    """Print what a complete run says, and write its report."""
    findings = sweep.findings(done, per_layer)
    for table in findings.tables():
        show_table(table)
    for name, path in sweep.write_report(done, findings).items():
        print(f"{name}: {path}")


@contextmanager
def judged(
    chosen: argparse.Namespace, check: "Callable[[Recipe], None]"
) -> "Iterator[tuple[Recipe, Store]]":
    """The recipe and the store that the options name, judged as far as that takes no model, by `check` among others.

    In the block they are judged further, with the model: no folder of the store is left behind where that fails.
    Raises ValueError, and StoreError for a store that cannot be written.
    """
    from clipneuron.store.objects.opening import probe
    from clipneuron.store.objects.traces import no_trace_of_a_failure
    from clipneuron.store.store import Store
    from clipneuron.sweep.inputs import check_device

    recipe = recipe_of(chosen)
    check_growth(chosen)
    check_cluster(chosen)
    check(recipe)
    if chosen.engine == "in-process":  # the devices of a cluster are those of its nodes
        check_device(recipe.device)
    store = Store(chosen.store)
    with no_trace_of_a_failure(store.objects):
        probe(store.objects)
        yield recipe, store


@contextmanager
def engine(
    chosen: argparse.Namespace,
    console: "Console",
    run: "Run",
    pools: Sequence[str] = ("clip",),
    max_failed_share: float | None = None,
) -> "Iterator[Runner]":
    """The runner that the options ask for, with its cluster and the run's lease for the time of the block.

    Raises BusyError where another command is at work on the run and `--overlap forbid` was given, ValueError.
    """
    from clipneuron.operations.schedule.overlap import working_on

    with (
        working_on(run, chosen.overlap, shown_command(), lambda text: print(text, file=sys.stderr)),
        _runner(chosen, console, pools, max_failed_share) as runner,
    ):
        yield runner


@contextmanager
def _runner(
    chosen: argparse.Namespace,
    console: "Console",
    pools: Sequence[str],
    max_failed_share: float | None,
) -> "Iterator[Runner]":
    """The runner, with its cluster for the time of the block; raises ValueError."""
    from clipneuron.engine.runner import Runner

    limits: dict[str, Any] = {
        "attempts": chosen.attempts,
        "max_failed_share": (
            chosen.max_failed_share if max_failed_share is None else max_failed_share
        ),
        "console": console,
        "watch": chosen.account.stage if "account" in chosen else None,
    }
    if chosen.engine == "in-process":
        yield Runner(**limits)
        return
    from clipneuron.engine.cluster.connection import connected
    from clipneuron.engine.ray_data import RayData

    options = cluster_of(chosen)
    with connected(options, pools=pools):
        signals.listen()
        yield Runner(RayData(options, console, chosen.attempts), **limits)
