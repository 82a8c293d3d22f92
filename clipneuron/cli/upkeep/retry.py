"""`clipneuron retry-failed`: what failed, and can be done now, is done after all."""

import argparse
from typing import TYPE_CHECKING, Any

from clipneuron.cli.options.fields import add_fields, given
from clipneuron.cli.options.flags import (
    add_engine,
    add_run_name,
    add_show,
    check_cluster,
    chosen_run,
    recipe_of_run,
)
from clipneuron.cli.options.parser import add_command
from clipneuron.cli.run import conclude, engine
from clipneuron.cli.units import progress_of, show_table
from clipneuron.reports.printing import one_line, print
from clipneuron.reports.quantities import counted

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    from clipneuron.sweep.retry import Retry

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
    title = "in place of the recipe's fields"
    add_fields(parser, "recipe", title, only=("images", "device"))
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    add_show(parser)
    add_engine(parser)


def retry_failed(chosen: argparse.Namespace) -> int:
    """`clipneuron retry-failed`."""
    from clipneuron.engine.runner import stages_table
    from clipneuron.store.store import Store
    from clipneuron.sweep.inputs import check

    run = chosen_run(chosen)
    recipe = recipe_of_run(run, given(chosen, "recipe"))
    check_cluster(chosen)
    check(recipe)

    from clipneuron.sweep.pipeline import Sweep
    from clipneuron.sweep.retry import Retry

    retry = Retry.of(Sweep.of(recipe, Store(chosen.store), extends=run.name), run)
    _show(retry)
    if not retry.is_possible:
        print("there is nothing that can be done now; nothing was changed")
        return 0
    again = retry.again()
    if chosen.dry_run:
        print("this was a dry run; nothing was changed")
        return 0
    # The means of the first part stay, so what failed there is no reason to stop once more.
    share = max(chosen.max_failed_share, retry.failed_share)
    with engine(chosen, progress_of(chosen), run, max_failed_share=share) as runner:
        retry.forget_failures()
        done, reports = again.run(runner)
    show_table(stages_table(reports))
    conclude(again, done, chosen.show)
    return 0


def _show(retry: "Retry") -> None:
    """How much can be tried again, and why not the rest."""
    print(f"in quarantine: {counted(len(retry.quarantined), 'shards')}")
    print(
        f"can be used now: {len(retry.usable):,} of {counted(len(retry.failed), 'failed pictures')}"
    )
    lost = sorted(image for image, reason in retry.reasons.items() if reason)
    for image in lost[:SHOWN]:
        print(f"  still not usable, {one_line(retry.reasons[image])}")
    if len(lost) > SHOWN:
        print(f"  and {counted(len(lost) - SHOWN, 'others')}")
