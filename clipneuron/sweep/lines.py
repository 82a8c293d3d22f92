"""Lines of work as a command sees them that is given again: is anything left to do, and what was it done on before?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.engine.pipeline import distinct
from clipneuron.engine.stage import Stage
from clipneuron.readers.sweep import Planned
from clipneuron.store import reports
from clipneuron.store.outlines import Results
from clipneuron.store.store import Run
from clipneuron.sweep.pipeline import Sweep
from clipneuron.sweep.stages.plan import PlanStage


class LineStages(Protocol):
    """The stages of a line of work, those of the sweep among them."""

    @property
    def all(self) -> list[Stage]:
        """In the order in which they read each other."""
        ...


class Line(Protocol):
    """The sweep, or a line of work on top of one."""

    def stages(self, planned: Planned) -> LineStages:
        """The stages of a planned run."""
        ...

    def results(self, run: Run) -> Results:
        """Which of them hold the results."""
        ...


def is_complete(sweep: Sweep, run: Run, line: Line, until: str | None = None) -> bool:
    """Whether nothing of a line is left to do in a run: no stage, up to a kind where one is given, and no report.

    Raises ValueError where pictures of the run are gone or have changed, StoreError.
    """
    if not run.done("plan"):
        return False
    if not until and not reports.is_written(run, line.results(run)):
        return False
    return sweep.pipeline(line.stages(Planned.of(run)).all).is_complete(run, until)


@dataclass(frozen=True)
class Others:
    """Pictures beside the swept ones that are not those of the time before."""

    kind: str
    """Of the stage that lists them."""
    more: int
    gone: int
    changed: int


def others(run: Run, line: Line) -> Iterator[Others]:
    """What has become of the pictures that a line measures on, since it was last asked for; raises StoreError."""
    if not run.done("plan"):
        return
    for stage in distinct(line.stages(Planned.of(run)).all):
        if not isinstance(stage, PlanStage) or stage.kind == "plan" or run.done(stage.name):
            continue
        if before := _last(run, stage.kind, run.stages()):
            yield _between(stage.kind, run.read(before, "plan"), stage.part(None))


def _last(run: Run, kind: str, names: Sequence[str]) -> str | None:
    """The stage of this kind that was last committed."""
    times = {
        name: max(commit.committed_at for commit in run.committed(name).values())
        for name in names
        if name.rpartition("-")[0] == kind
    }
    return max(times, key=times.__getitem__, default=None)


def _between(kind: str, before: pa.Table, now: pa.Table) -> Others:
    there = pc.is_in(now["image"], value_set=before["image"])
    more, common = now.num_rows - (pc.sum(there).as_py() or 0), now.filter(there)
    places = pc.index_in(common["image"], value_set=before["image"])
    same = before.take(places).select(_CONTENT).to_pylist()
    changed = sum(a != b for a, b in zip(same, common.select(_CONTENT).to_pylist(), strict=True))
    return Others(kind, more, before.num_rows - common.num_rows, changed)


_CONTENT = ["size", "etag", "label_name"]
"""Columns of the table `plan` by which a picture is known to be the same."""
