"""The command itself is killed at any moment, or given twice at once: the same command goes on, and doubles nothing.

Those that are killed start a cluster of their own, as the command does where it is given no address; what they leave is
finished without one.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from clipneuron.cli import main
from clipneuron.store.store import Run, Store
from tests.faults.hooks import wait_for
from tests.faults.worlds import attempts, check_same

pytestmark = [
    pytest.mark.environment,
    pytest.mark.slow,
    pytest.mark.process,
    pytest.mark.timeout(280),
]
WORDS = ["run", "--recipe", "demo", "--limit", "48", "--shard-size", "4", "--top", "6"]
WORDS += ["--layers", "4", "--until", "effects"]
HERE = ["--engine", "in-process"]
SHARDS = 12
COMMITS = 2 + 2 * SHARDS
"""Of the plan and the texts, of calibrate and of effects."""
SEED = 20261124


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    store = tmp_path_factory.mktemp("undisturbed")
    assert main([*WORDS, *HERE, "--store", str(store)]) == 0
    return run_in(store)


def run_in(store: Path) -> Run:
    (run,) = Store(store).runs()
    return run


@contextmanager
def driver(store: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process group of its own, which says everything to {store}.log; gone after the block."""
    environment = dict(os.environ)
    environment.pop("RAY_ADDRESS", None)
    with store.with_suffix(".log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "clipneuron.cli", *WORDS, "--store", str(store), *more],
            env=environment,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end(family(process.pid))
            process.wait()


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def commits(store: Path) -> int:
    return len(list(store.glob("demo-*/commits/*/*.json")))


def test_a_driver_that_is_killed_loses_nothing_that_is_committed(
    undisturbed: Run, tmp_path: Path
) -> None:
    dice, store = random.Random(SEED), tmp_path / "store"
    kept: dict[tuple[str, str], str] = {}
    orphans: list[psutil.Process] = []
    # First the driver of a cluster, whose processes end by themselves beside the next one, which has none.
    for words in (["--engine", "ray", "--actors", "1"], HERE):
        kept = attempts_kept(store, kept, kill_midway(store, words, dice, orphans))
    assert main([*WORDS, *HERE, "--store", str(store)]) == 0
    end(orphans)
    run = run_in(store)
    assert kept.items() <= attempts(run).items()
    check_same(run, undisturbed)
    assert run.failures("effects") == run.failures("calibrate") == {}


def kill_midway(
    store: Path,
    words: Sequence[str],
    dice: random.Random,
    orphans: list[psutil.Process],
) -> int:
    """Kills the command after a seeded number of commits, which is returned."""
    already = commits(store)
    enough = dice.randint(already + 1, already + (COMMITS - already) // 2)
    with driver(store, *words) as process:
        wait_for(lambda: process.poll() is not None or commits(store) >= enough, "commits", 120)
        orphans += family(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return enough


def attempts_kept(
    store: Path, before: dict[tuple[str, str], str], enough: int
) -> dict[tuple[str, str], str]:
    """The attempts that count now: those from before, more, and not yet all."""
    found = attempts(run_in(store))
    assert before.items() <= found.items()
    assert len(before) < enough <= len(found) < COMMITS, (SEED, enough)
    return found


def test_the_same_command_twice_at_once_is_one_run(undisturbed: Run, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with driver(store, *HERE) as other:
        wait_for(lambda: other.poll() is not None or commits(store), "the other's first commit")
        assert main([*WORDS, *HERE, "--store", str(store)]) == 0
        assert other.wait() == 0, store.with_suffix(".log").read_text()
    check_same(run_in(store), undisturbed)
    pids = {commit.pid for commit in run_in(store).committed("effects").values()}
    assert pids <= {other.pid, os.getpid()}
