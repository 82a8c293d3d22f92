"""Every line of work done once, for all tests of stages as such."""

import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from clipneuron.engine import runner
from clipneuron.engine.attempts import Ending
from clipneuron.engine.in_process import InProcess
from clipneuron.engine.stage import Advance, Shard, Stage
from clipneuron.lens.trace import Trace
from clipneuron.models.clip.model import Clip
from clipneuron.store.store import Run
from tests.samples.lines import LINES, Line
from tests.samples.shapes import checked
from tests.samples.world import quiet_runner


@dataclass
class Counting:
    """The executor of one process, which notes what its stages do.

    rows: how many each shard has told of.
    passes: of each kind that traces pictures, how often it did, and how often while its last trace was still held.
    """

    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    passes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        told: list[int] = []
        with self._watched(stage.kind):
            for ending in InProcess().execute(stage, run, todo, told.append):
                self.rows[stage.name, ending.shard] = sum(told)
                told.clear()
                yield ending

    @contextmanager
    def _watched(self, kind: str) -> Iterator[None]:
        trace, last = Clip.trace, list[weakref.ref[Trace]]()

        def watched(clip: Clip, *args: object, **options: object) -> Trace:
            found = trace(clip, *args, **options)  # type: ignore[arg-type]
            held = sum(each() is not None for each in last)
            self.passes[kind].update({"all": 1, "held": held})
            last[:] = [weakref.ref(found)]
            return found

        with patch.object(Clip, "trace", watched):
            yield


class Done(NamedTuple):
    """A stage that was done in this process, and in which line's folder."""

    stage: Stage
    line: Line
    folder: Path
    run: Run
    rows: dict[tuple[str, str], int]
    passes: Counter[str]


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Done]]:
    """By kind: the stages of all lines that are of it."""
    found: dict[str, list[Done]] = {}
    for line in LINES:
        folder, counting = tmp_path_factory.mktemp(line.__name__), Counting()
        with patch.object(runner, "InProcess", lambda counting=counting: counting), checked():
            run, stages = line(folder, "here", quiet_runner(executor=counting))
        for stage in stages:
            passes = counting.passes[stage.kind]
            each = Done(stage, line, folder, run, counting.rows, passes)
            found.setdefault(stage.kind, []).append(each)
    return found
