"""Which run a command goes on with: --extend names it, --grow finds it; and what is left to do there."""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from clipneuron.cli.options.fields import as_options
from clipneuron.reports.printing import print
from clipneuron.reports.quantities import counted

# torch takes seconds to import, which --help and the other commands are spared.
if TYPE_CHECKING:
    from clipneuron.sweep.lines import Line, Others
    from clipneuron.sweep.pipeline import Sweep

MEASURED_ON = {
    "evaluation": "evaluation.images",
    "held-out": "explanation.images",
    "segmentation-plan": "segmentation.images",
    "concept-pictures": "concepts.images",
}
"""The field that names the pictures which stages of a kind list."""


def check_growth(chosen: argparse.Namespace) -> None:
    """Raises ValueError where a run is both named and to be found."""
    if chosen.grow and chosen.extend:
        raise ValueError("--grow finds the run to go on with, and --extend names it: give one")


def refuse_growth(chosen: argparse.Namespace) -> None:
    """Raises ValueError where single pictures are looked at, for which no run goes on."""
    if chosen.grow or chosen.extend:
        raise ValueError(
            "--grow and --extend go on with a run, and single pictures only look at one: leave them out, or the "
            "pictures"
        )


def going_on(chosen: argparse.Namespace, sweep: "Sweep") -> "Sweep":
    """The sweep that goes on with the run that is named, or with the one whose collection has grown, if there is one.

    What sets a new run apart, and how many pictures are new, is said. Raises ValueError where pictures of the run that
    was found are gone or have changed.
    """
    from clipneuron.operations.schedule.growth import growth

    if not chosen.grow:
        return replace(sweep, extends=chosen.extend)
    found = growth(sweep.store, sweep.recipe.name, sweep.identity)
    if found.run is None:
        if found.note:
            print(as_options(found.note), file=sys.stderr)
        return sweep
    sweep = replace(sweep, extends=found.run.name)
    try:
        new = sweep.planned_next().num_rows if found.run.done("plan") else 0
    except ValueError as error:
        raise ValueError(
            f"{found.run.name} can't grow: {error}. Without --grow, a new run begins beside it"
        ) from error
    if new:
        print(f"{counted(new, 'new pictures')}: a part more of {found.run.name}", file=sys.stderr)
    return sweep


def is_settled(chosen: argparse.Namespace, sweep: "Sweep", line: "Line") -> bool:
    """Whether --grow finds nothing left to do for a line of work, which is said in one line.

    Where something is, pictures that it was measured on before and that are others now are said.
    """
    from clipneuron.sweep.lines import is_complete, others

    if not (chosen.grow and sweep.extends):
        return False
    run = sweep.open()
    if is_complete(sweep, run, line, chosen.until):
        pictures = counted(len(sweep.collection), "pictures")
        print(f"unchanged: {run.name} has all of these {pictures}, and nothing was left to do")
        return True
    for other in others(run, line):
        print(as_options(_said(other)), file=sys.stderr)
    return False


def _said(other: "Others") -> str:
    counts = ((other.more, "more"), (other.gone, "gone"), (other.changed, "changed"))
    found = ", ".join(f"{counted(count, 'pictures')} {what}" for count, what in counts if count)
    field = MEASURED_ON[other.kind]
    return f"`{field}`: {found or 'another order'}; what is measured on them is measured anew"
