"""A pipeline: the stages of one line of work as a list, each after those that it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clipneuron.engine.runner import Runner, StageReport
from clipneuron.engine.stage import Stage
from clipneuron.store.outlines import StageOrder
from clipneuron.store.store import Run


@dataclass(frozen=True)
class Pipeline:
    """Stages in an order in which each finds what it reads; raises ValueError for another order, or a stage twice."""

    stages: tuple[Stage, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    """How it was asked for; goes into the store beside the order of the stages."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for stage in self.stages:
            missing = [read.name for read in stage.reads if read.name not in seen]
            if missing:
                raise ValueError(
                    f"{stage.name} reads {', '.join(missing)}, which must come before it"
                )
            if stage.name in seen:
                raise ValueError(f"{stage.name} is in the pipeline twice")
            seen.add(stage.name)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its stages, each once, in their order."""
        return tuple(dict.fromkeys(stage.kind for stage in self.stages))

    def until(self, kind: str) -> tuple[Stage, ...]:
        """The stages up to the last of a kind; raises ValueError for one that it does not have."""
        places = [place for place, stage in enumerate(self.stages) if stage.kind == kind]
        if not places:
            raise ValueError(f"there is no stage {kind!r}: expected one of {', '.join(self.kinds)}")
        return self.stages[: places[-1] + 1]

    def announce(self, run: Run) -> None:
        """Record in the store which stages there are, in which order; raises StoreError."""
        stages = tuple(stage.name for stage in self.stages)
        kinds = tuple(stage.kind for stage in self.stages)
        run.announce(StageOrder(stages=stages, kinds=kinds, details=dict(self.details)))

    def is_complete(self, run: Run, until: str | None = None) -> bool:
        """Whether every shard of the stages is committed, or of those up to a kind; raises ValueError, StoreError."""
        stages = self.stages if until is None else self.until(until)
        return all(
            run.done(stage.name).issuperset(shard.name for shard in stage.shards(run))
            for stage in stages
        )

    def run(
        self,
        runner: Runner,
        run: Run,
        until: str | None = None,
        begun: Sequence[StageReport] = (),
    ) -> list[StageReport]:
        """Bring all stages to completion, or those up to a kind; what is committed already is not done again.

        `begun` has the reports of the first stages, where they were completed to make the list. Raises ValueError for
        a kind that there is not, before any other work, and as `Runner.run` does.
        """
        stages = self.stages if until is None else self.until(until)
        self.announce(run)
        return [*begun, *runner.run(stages[len(begun) :], run)]


def distinct(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages without those that are there already under the same name: lines of work share some."""
    found: dict[str, Stage] = {}
    for stage in stages:
        found.setdefault(stage.name, stage)
    return tuple(found.values())
