"""`clipneuron retry-failed`: what failed and has been mended is done after all."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from clipneuron.cli.flags import (
    add_command,
    add_engine,
    add_run_name,
    chosen_run,
    positive,
    recipe_of_run,
)
from clipneuron.cli.run import conclude, engine
from clipneuron.cli.units import show_table

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.store.store import Failure
    from clipneuron.sweep.pipeline import Sweep

SHOWN = 10

EXAMPLES = """\
Two kinds of failure are tried again: shards in quarantine, whose failed attempts are forgotten, and single
pictures that could not be read or decoded. Of these, the ones that can be used now become a new part of the plan:
they are swept, and directions and descriptions are found anew from all pictures. The mean effects stay those of the
first part. The recipe is that of the run's last command.

examples:
  clipneuron retry-failed --store demo-run --dry-run
      say what could be used now
  clipneuron retry-failed --store s3://runs --run vit_b_32 --address auto
      and use it, on the cluster that this machine belongs to
"""


def add_commands(commands: Any) -> None:
    """retry-failed."""
    does = "try again what failed: shards in quarantine, and pictures that could not be used"
    parser = add_command(commands, "retry-failed", does, retry_failed, epilog=EXAMPLES)
    add_run_name(parser)
    parser.add_argument("--images", help="where the pictures are now (default: where they were)")
    parser.add_argument("--device", help="auto, cpu, cuda ... (default: the recipe's)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--show", type=positive, default=3, metavar="N", help="neurons per layer in the final table"
    )
    add_engine(parser)


def retry_failed(chosen: argparse.Namespace) -> int:
    """`clipneuron retry-failed`."""
    from clipneuron.readers.sweep import unusable
    from clipneuron.store.store import Store
    from clipneuron.sweep.pipeline import Sweep
    from clipneuron.sweep.retry import failed_share, narrowed, quarantined, replaced

    run = chosen_run(chosen)
    shards = list(quarantined(run))
    print(f"{len(shards)} shards are in quarantine")
    sweep = Sweep.of(
        recipe_of_run(run, {"images": chosen.images, "device": chosen.device}),
        Store(chosen.store),
        extends=run.name,
    )
    failed = unusable(run)
    pictures = _usable(sweep, failed)
    if not pictures and not shards:
        print("there is nothing that can be done now; nothing was changed")
        return 0
    again = narrowed(sweep, run, pictures | replaced(sweep, run, failed))
    again.planned_next()  # raises before anything is changed
    if chosen.dry_run:
        print("this was a dry run; nothing was changed")
        return 0
    for stage, shard in shards:
        run.forget_failures(stage, shard)
    # The means of the first part stay, so what failed there is no reason to stop once more.
    chosen.max_failed_share = max(chosen.max_failed_share, failed_share(run))
    _go_on(again, chosen)
    return 0


def _usable(sweep: "Sweep", failed: "dict[tuple[str, str], Failure]") -> frozenset[tuple[str, str]]:
    """Those of the failed pictures that can be read and decoded now; says how many, and why not the others."""
    from clipneuron.sweep.retry import reasons

    why = reasons(sweep, failed)
    usable = frozenset(key for key in failed if not why[key[0]])
    print(f"{len(usable)} of {len(failed)} failed pictures can be used now")
    lost = sorted(image for image, reason in why.items() if reason)
    for image in lost[:SHOWN]:
        print(f"  still not usable, {why[image]}")
    if len(lost) > SHOWN:
        print(f"  and {len(lost) - SHOWN} others")
    return usable


def _go_on(sweep: "Sweep", chosen: argparse.Namespace) -> None:
    from rich.console import Console

    from clipneuron.engine.runner import stages_table

    with engine(chosen, Console(file=sys.stderr)) as runner:
        done, reports = sweep.run(runner)
    show_table(stages_table(reports))
    conclude(sweep, done, chosen.show)
