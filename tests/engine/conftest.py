"""Every line of work done once, for all tests of stages as such."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from clipneuron.engine import runner
from clipneuron.engine.attempts import Ending
from clipneuron.engine.in_process import InProcess
from clipneuron.engine.stage import Advance, Shard, Stage
from clipneuron.store.store import Run
from tests.samples.lines import LINES, Line
from tests.samples.shapes import checked
from tests.samples.world import quiet_runner


@dataclass
class Counting:
    """The executor of one process, which notes how many rows each shard has told of."""

    rows: dict[tuple[str, str], int] = field(default_factory=dict)

    def execute(
        self, stage: Stage, run: Run, todo: Sequence[Shard], advance: Advance
    ) -> Iterator[Ending]:
        told: list[int] = []
        for ending in InProcess().execute(stage, run, todo, told.append):
            self.rows[stage.name, ending.shard] = sum(told)
            told.clear()
            yield ending


class Done(NamedTuple):
    """A stage that was done in this process, and in which line's folder."""

    stage: Stage
    line: Line
    folder: Path
    run: Run
    rows: dict[tuple[str, str], int]


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Done]]:
    """By kind: the stages of all lines that are of it."""
    found: dict[str, list[Done]] = {}
    for line in LINES:
        folder, counting = tmp_path_factory.mktemp(line.__name__), Counting()
        with patch.object(runner, "InProcess", lambda counting=counting: counting), checked():
            run, stages = line(folder, "here", quiet_runner(executor=counting))
        for stage in stages:
            found.setdefault(stage.kind, []).append(Done(stage, line, folder, run, counting.rows))
    return found
