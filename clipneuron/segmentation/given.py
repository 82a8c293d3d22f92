"""What maps of single pictures are made of: files, and a run with directions. Judged without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clipneuron.config.recipe import Recipe
from clipneuron.lens.attribution.methods import METHODS
from clipneuron.models.clip.preprocessing.contents import PictureError
from clipneuron.models.clip.preprocessing.files import opened
from clipneuron.segmentation.inputs import check_templates
from clipneuron.store.store import Run


class GivenPicture(NamedTuple):
    """A picture file."""

    name: str
    """As it was given."""
    data: bytes


def check_given(run: Run, recipe: Recipe, classes: Sequence[str]) -> None:
    """Raises ValueError for classes without a name, and where the run lacks the directions that methods take."""
    if not all(name.strip() for name in classes):
        raise ValueError(
            f"a class has no name, in {', '.join(map(repr, classes))}: say what to look for"
        )
    asked = recipe.segmentation
    check_templates(asked)
    chosen = asked.chosen_methods
    if asked.methods == chosen and len({*classes}) < 2:
        for name in chosen:
            if METHODS[name].others:
                raise ValueError(
                    f"{name} takes the mean over several classes away, and there is one alone: give more with --class"
                )
    if any(METHODS[name].choice for name in chosen):
        _check_directions(run, recipe)


def directions_stage(run: Run) -> str:
    """The stage of the run that has the directions last asked for; raises ValueError."""
    return run.stage("directions")


def _check_directions(run: Run, recipe: Recipe) -> None:
    order = run.announced()
    there = order is not None and "directions" in order.kinds
    progress = run.progress(directions_stage(run), within=0) if there else None
    if progress is None or progress.cut is None or len(progress.done) < progress.cut.shards:
        raise ValueError(
            f"maps of second order take the directions of a finished sweep, and run {run.name} has none yet: "
            f"`clipneuron run --recipe {recipe.name} --until directions` with the run's own options finishes it; or "
            "choose methods without neurons with `segmentation.methods`, such as legrad"
        )


def read_pictures(names: Sequence[str]) -> tuple[list[GivenPicture], list[str]]:
    """The picture files, and of those that are none, why."""
    found, troubles = [], []
    for name in names:
        try:
            data = Path(name).read_bytes()
            with opened(data, name) as image:
                image.load()
        except PictureError as error:
            troubles.append(error.reason)
        except OSError as error:
            troubles.append(f"{name}: {error.strerror or error}")
        else:
            found.append(GivenPicture(name, data))
    return found, troubles
