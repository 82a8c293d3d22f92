"""`clipneuron retry-failed`: what failed and has been mended is done after all."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from clipneuron.cli.computing import conclude, engine
from clipneuron.cli.options import (
    add_command,
    add_engine,
    add_run_name,
    chosen_run,
    positive,
    recipe_of_run,
)
from clipneuron.cli.units import show_table

if TYPE_CHECKING:  # torch takes seconds to import, which --help and the other commands are spared
    import pyarrow as pa

    from clipneuron.storage.store import Failure, Run
    from clipneuron.sweep import Sweep

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
_SHOWN = 10
_AT_ONCE = 64
"""Pictures that are decoded, and forgotten, at a time."""


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
    from clipneuron.readings import unusable
    from clipneuron.storage.store import Store
    from clipneuron.sweep import Sweep

    run = chosen_run(chosen)
    shards = list(_quarantined(run))
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
    again = _narrowed(sweep, run, pictures | _replaced(sweep, run, failed))
    again.planned_next()  # raises before anything is changed
    if chosen.dry_run:
        print("this was a dry run; nothing was changed")
        return 0
    for stage, shard in shards:
        run.forget_failures(stage, shard)
    # The means of the first part stay, so what failed there is no reason to stop once more.
    chosen.max_failed_share = max(chosen.max_failed_share, _failed_share(run))
    _go_on(again, chosen)
    return 0


def _failed_share(run: "Run") -> float:
    """The share of the first part's pictures that its means had to do without."""
    commits = run.committed("calibrate").values()
    failed = sum(len(commit.failures) for commit in commits)
    planned = run.read("plan", "plan", shards=["part-0000"], columns=["index"])
    return failed / len(planned)


def _go_on(sweep: "Sweep", chosen: argparse.Namespace) -> None:
    from rich.console import Console

    from clipneuron.engine.runner import stages_table

    with engine(chosen, Console(file=sys.stderr)) as runner:
        done, reports = sweep.run(runner)
    show_table(stages_table(reports))
    conclude(sweep, done, chosen.show)


def _quarantined(run: "Run") -> Iterator[tuple[str, str]]:
    """Stage and shard of what is not tried any more."""
    for stage in run.stages_with_failures():
        seen = run.progress(stage, within=0.0)
        most = seen.cut.attempts if seen.cut else 1
        for shard, attempts in sorted(seen.failed_attempts.items()):
            if attempts >= most:
                yield stage, shard


def _usable(sweep: "Sweep", failed: "dict[tuple[str, str], Failure]") -> frozenset[tuple[str, str]]:
    """Those of the failed pictures that can be read and decoded now; says how many, and why not the others."""
    reasons = _tried(sweep, {image for image, _ in failed})
    usable = frozenset(key for key in failed if not reasons[key[0]])
    print(f"{len(usable)} of {len(failed)} failed pictures can be used now")
    lost = sorted({image for image, _ in failed if reasons[image]})
    for image in lost[:_SHOWN]:
        print(f"  still not usable, {reasons[image]}")
    if len(lost) > _SHOWN:
        print(f"  and {len(lost) - _SHOWN} others")
    return usable


def _tried(sweep: "Sweep", images: set[str]) -> dict[str, str]:
    """Why each picture cannot be used, "" where it can."""
    from clipneuron.sources import PictureFeed
    from clipneuron.stage import Shard

    rows = _of(sweep.collection.listing, images)
    feed = PictureFeed(sweep.collection.reader, sweep.clip.preprocess)
    found = {image: f"missing: {image} is not in the collection any more" for image in images}
    found |= dict.fromkeys(rows["image"].to_pylist(), "")
    for start in range(0, rows.num_rows, _AT_ONCE):
        some = rows.slice(start, _AT_ONCE)
        for failure in feed.load(Shard("again", some.num_rows, some)).failures:
            found[failure.image] = f"{failure.status}: {failure.reason}"
    return found


def _replaced(
    sweep: "Sweep", run: "Run", failed: "Iterable[tuple[str, str]]"
) -> frozenset[tuple[str, str]]:
    """Those of the failed pictures that have other bytes than planned: usable or not, they are planned anew."""
    from clipneuron.storage.plans import latest

    images = {image for image, _ in failed}
    planned = _places(latest(_of(run.read("plan", "plan"), images)))
    there = _places(_of(sweep.collection.listing, images))
    return frozenset(key for key in failed if planned[key[0]] != there.get(key[0]))


def _places(table: "pa.Table") -> dict[str, tuple[object, ...]]:
    columns = (table[name].to_pylist() for name in ("image", "source", "offset", "size", "etag"))
    return {image: tuple(place) for image, *place in zip(*columns, strict=True)}


def _of(table: "pa.Table", images: "Iterable[str]") -> "pa.Table":
    """The rows of these pictures."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return table.filter(pc.is_in(table["image"], value_set=pa.array(images, pa.string())))


def _narrowed(sweep: "Sweep", run: "Run", pictures: frozenset[tuple[str, str]]) -> "Sweep":
    """The sweep with these pictures to try again, and none that the run has not planned yet."""
    planned = run.read("plan", "plan", columns=["image"])["image"]
    known = _of(sweep.collection.listing, planned.combine_chunks())
    return replace(sweep, retry=pictures, collection=replace(sweep.collection, listing=known))
