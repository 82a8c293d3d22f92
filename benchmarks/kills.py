"""Kills the command at random moments, gives it again, and looks whether anything was lost, doubled or damaged.

    python benchmarks/kills.py --kills 100                                 # in process, on a disk
    python benchmarks/kills.py --engine ray --store s3 --kills 500         # a cluster for every try; S3 by moto

The command is `clipneuron run` on some pictures of the demo, until its sweep is done. It gets a SIGKILL (with --engine
ray its whole process group does) after a seeded time between its start and the time that it takes undisturbed; with
`--after commits`, once a seeded number of shards more are committed, since most of a try's time is the start of Ray. It
is given again on the same store until it ends by itself. After each death, every commit from before must still be
there, and `verify` must find nothing. After each end, the tables must be those of the undisturbed run row for row,
nothing may have failed, and once `vacuum` has removed what is left over, only objects that commits name are there. Then
the next store begins. The processes are forked from this one, which has imported the libraries: a death costs seconds.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

# Before site-packages, in which another project may have installed its own `tests`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import describe

from clipneuron.cli import main as clipneuron
from clipneuron.store.store import Run, Store
from tests.faults.hosts.nodes import SURROUNDINGS
from tests.faults.worlds import attempts, check_same
from tests.samples.servers import moto, new_bucket

WORDS = ["run", "--recipe", "demo", "--limit", "24", "--shard-size", "2", "--top", "6"]
WORDS += ["--layers", "4", "--until", "effects"]
ENGINES = {
    "in-process": ["--engine", "in-process"],
    "ray": ["--engine", "ray", "--actors", "1"],
}
AT_MOST = 600.0
"""Seconds after which a command hangs."""
PAUSE = 0.1
"""Seconds between two looks at a command."""
Moment = Callable[[], bool]
"""Whether it is time for a kill."""


@dataclass
class Figures:
    """What came of the kills so far."""

    kills: int = 0
    before_any_commit: int = 0
    between: int = 0
    """While some shards were committed, and not all."""
    kept: int = 0
    """Commits that were there at a death."""
    ends: int = 0
    left_over: int = 0
    """Objects that no commit named at the end, and records of attempts."""
    not_started: int = 0
    """Tries for which the machine was too busy to start Ray within its 30 s, as the command said."""

    def __str__(self) -> str:
        said = (
            f"{self.kills} kills ({self.before_any_commit} before the first commit, {self.between} between commits), "
            f"{self.ends} runs ended, {self.kept:,} commits seen again after a death; 0 lost, 0 doubled, 0 damaged; "
            f"{self.left_over} objects left over, all removed by vacuum"
        )
        return said + (
            f"; {self.not_started} starts of Ray took too long" if self.not_started else ""
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES, default="in-process")
    parser.add_argument("--store", choices=("local", "s3"), default="local")
    parser.add_argument("--after", choices=("time", "commits"), default="time")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261128)
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after so many")
    asked = parser.parse_args()
    if asked.engine == "ray":
        os.environ |= SURROUNDINGS
    print(describe(), flush=True)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        with places(asked.store, folder) as place:
            print(f"{asked.engine}, {asked.store}: {trials(asked, place, folder / 'log')}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def places(kind: str, folder: Path) -> Iterator[str]:
    """Below what the stores are."""
    if kind == "local":
        yield str(folder)
        return
    with moto() as address:
        os.environ |= {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield new_bucket()


def trials(asked: argparse.Namespace, place: str, log: Path) -> Figures:
    """Kills until there are enough of them."""
    dice, figures = random.Random(asked.seed), Figures()
    words = [*WORDS, *ENGINES[asked.engine]]
    began = time.monotonic()
    while (
        status := tried([*words, "--store", f"{place}/undisturbed"], after_seconds(AT_MOST), log)
    ) != 0:
        check_only_ray(status, log, figures)
        began = time.monotonic()
    usual = time.monotonic() - began
    undisturbed = run_in(f"{place}/undisturbed")
    count = len(attempts(undisturbed))
    print(f"undisturbed: {usual:.1f} s, {count} commits", flush=True)
    while figures.kills < asked.kills and time.monotonic() - began < 60 * asked.minutes:
        store = f"{place}/store-{figures.ends}"
        after = partial(within, usual) if asked.after == "time" else partial(between, store, count)
        until_it_ends([*words, "--store", store], store, after, dice, figures, log)
        check_end(run_in(store), undisturbed, figures)
        if figures.ends % 10 == 0:
            print(figures, flush=True)
    return figures


def until_it_ends(
    words: list[str],
    store: str,
    after: Callable[[random.Random], Moment],
    dice: random.Random,
    figures: Figures,
    log: Path,
) -> None:
    """The command on one store, killed and given again."""
    kept: dict[tuple[str, str], str] = {}
    while True:
        status = tried(words, after(dice), log)
        if status == 0:
            return
        if status > 0:
            check_only_ray(status, log, figures)
            continue
        figures.kills += 1
        kept = check_death(store, kept, figures)
        print(f"{figures.kills}: {len(kept)} commits", flush=True)


def check_only_ray(status: int, log: Path, figures: Figures) -> None:
    """An end by itself that is not the run's: a machine too busy to start Ray."""
    said = log.read_text()[-2000:]
    if status < 0 or "Ray could not be started" not in said.splitlines()[-1]:
        raise RuntimeError(f"exit status {status}: {said}")
    figures.not_started += 1


def check_death(
    store: str, kept: dict[tuple[str, str], str], figures: Figures
) -> dict[tuple[str, str], str]:
    """The commits that are there after a death: all those from before it, as they were."""
    runs = Store(store).runs()
    found = attempts(runs[0]) if runs else {}
    if not kept.items() <= found.items():
        raise AssertionError(f"commits were lost or replaced: {kept.items() - found.items()}")
    if runs and (problems := runs[0].verify()):
        raise AssertionError(f"damaged: {problems}")
    figures.before_any_commit += not found
    figures.between += bool(found)
    figures.kept += len(found)
    return found


def check_end(run: Run, undisturbed: Run, figures: Figures) -> None:
    """A finished run is the undisturbed one, and vacuum leaves only what its commits name."""
    check_same(run, undisturbed)
    failed = {stage: run.failures(stage) for stage in run.stages_with_failures()}
    if any(failed.values()):
        raise AssertionError(f"a death was counted against shards: {failed}")
    time.sleep(0.01)
    figures.left_over += run.remove(run.garbage(older_than=0))
    named = {
        stored.key
        for stage in run.stages()
        for commit in run.committed(stage).values()
        for stored in commit.objects
    }
    if {*run.objects.list("data/")} != named:
        raise AssertionError("vacuum left or took something")
    figures.ends += 1


def run_in(store: str) -> Run:
    (run,) = Store(store).runs()
    return run


def carry_out(words: list[str], log: Path) -> NoReturn:
    """The command in this process, which ends with it."""
    status = 1
    try:
        os.setsid()
        with log.open("a") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        status = clipneuron(words)
    finally:
        os._exit(status)


def after_seconds(seconds: float) -> Moment:
    """From now."""
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() >= deadline


def within(seconds: float, dice: random.Random) -> Moment:
    """Some time before so many seconds are over."""
    return after_seconds(dice.uniform(0, seconds))


def between(store: str, count: int, dice: random.Random) -> Moment:
    """Up to a second after some of the store's run's missing ones of so many commits are there."""
    already, hangs = commits(store), after_seconds(AT_MOST)
    enough = already + dice.randint(1, max(1, count - already))
    due: list[Moment] = []

    def reached() -> bool:
        if not due and commits(store) >= enough:
            due.append(after_seconds(dice.random()))
        return hangs() or any(moment() for moment in due)

    return reached


def commits(store: str) -> int:
    """How many shards of the store's run are committed."""
    return sum(1 for run in Store(store).runs() for _ in run.objects.list("commits/"))


def tried(words: list[str], moment: Moment, log: Path) -> int:
    """The command's exit status, or minus the signal that ended it at this moment."""
    child = os.fork()
    if not child:
        carry_out(words, log)
    while not moment():
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(PAUSE)
    os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
