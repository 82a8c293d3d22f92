"""A sweep and an attack on a cluster of two pools, whose nodes are lost and added and whose head is restarted.

    python benchmarks/two_pools.py

Everything is real and on this machine: a Ray head without cores and with a job server, two nodes of each pool as
`cluster.yaml` has them (named resource and label), `clipneuron submit` for a sweep and an attack of the demo at once.
A node of each pool is ended while it is at work, as a power cut ends it (SIGKILL to all of its processes at once), two
nodes are added, the head is ended and started anew. Meanwhile every few seconds, and after each of these events,
`status` is held against a count of the markers. Then a new order is submitted, old ones are given again, and a
scheduled command is started twice at once. In the end the tables must be those of runs in one process, row for row,
every shard committed once, every commit of before each event unchanged, and `verify` and `vacuum` must find nothing
wrong.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

# Before site-packages, in which another project may have installed its own `tests`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import describe

from clipneuron.cli import main as clipneuron
from clipneuron.engine.status import status_of
from clipneuron.store.store import Run, Store
from tests.faults.hosts.nodes import LABEL, SURROUNDINGS, Nodes, Tree, nodes
from tests.faults.worlds import attempts, check_same

SWEEP = ["run", "--recipe", "demo", "--limit", "88", "--shard-size", "2", "--top", "6"]
SWEEP += ["--layers", "4", "--atoms", "8"]
ATTACK = [
    "attack",
    "--recipe",
    "demo",
    "--limit",
    "24",
    "--top",
    "4",
    "--layers",
    "3,4",
    "--atoms",
    "8",
]
ATTACK += ["--pairs", "dog:deer", "ship:truck", "horse:automobile", "--repeats", "3"]
ATTACK += ["--methods", "second-order", "random", "similar", "--captions", "8", "--words", "6"]
ATTACK += ["--chosen", "4", "--each", "3"]
SMALL = ["run", "--recipe", "demo", "--limit", "12", "--shard-size", "2", "--top", "4"]
SMALL += ["--layers", "4", "--until", "effects"]
HERE = ["--engine", "in-process"]
ON_CLUSTER = ["--actors", "2", "--actor-cpus", "1", "--pool-label", LABEL, "--wait", "900"]
PATIENT = ["--patience", "20m", "--job-retries", "9", "--python", sys.executable]
ATTACKS = ("captions", "pictures", "verdicts")
MOST = 2400.0
"""Seconds after which something hangs."""
BUSY = 75


@dataclass
class Story:
    """What happened, when, and what was found: printed as it does, and as a table at the end."""

    begun: float = field(default_factory=time.monotonic)
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def tell(self, what: str, found: str = "") -> None:
        """A row more."""
        minutes, seconds = divmod(round(time.monotonic() - self.begun), 60)
        self.rows.append((f"{minutes}:{seconds:02d}", what, found))
        print(" | ".join(self.rows[-1]), flush=True)

    def table(self) -> str:
        """In Markdown."""
        lines = ["| time | what was done | what was found |", "|---|---|---|"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])


@dataclass
class Watch:
    """Holds what `status` says of every run of a store against its markers, again and again."""

    store: Path
    looks: int = 0
    wrong: list[str] = field(default_factory=list)
    _before: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(3.0):
            self.look()

    def look(self) -> str:
        """One look; what the command says of all runs, in words."""
        with self._lock:
            return "; ".join(map(self._look_at, Store(self.store).runs()))

    def _look_at(self, run: Run) -> str:
        place = Path(run.url)
        least, seen, most = markers(place), status_of(run), markers(place)
        self.looks += 1
        for stage in seen.stages:
            key = (run.name, stage.name)
            if not least[stage.name] <= stage.done <= most[stage.name]:
                self.wrong.append(
                    f"{key}: {stage.done}, not {least[stage.name]}-{most[stage.name]}"
                )
            if stage.done < self._before[key]:
                self.wrong.append(f"{key}: fell from {self._before[key]} to {stage.done}")
            if stage.damaged or (stage.state == "complete") != (stage.done == stage.shards):
                self.wrong.append(f"{key}: {stage.state} with {stage.done} of {stage.shards}")
            self._before[key] = stage.done
        at = seen.next
        return f"{run.name.rpartition('-')[0]} " + (
            f"{at.name} {at.done}/{at.shards if at.shards is not None else '?'} {at.state}"
            if at
            else "complete"
        )


def markers(run: Path) -> Counter[str]:
    """Commits of a run by stage, counted without any of the product's code."""
    folder = run / "commits"
    stages = list(folder.iterdir()) if folder.exists() else []
    return Counter({stage.name: len(list(stage.glob("*.json"))) for stage in stages})


@dataclass
class World:
    """The cluster, what is submitted to it, and what has been committed so far."""

    cluster: Nodes
    folder: Path
    story: Story
    watch: Watch
    attack: str
    """The name of its run."""
    kept: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)
    orders: dict[str, Tree] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Of all runs."""
        return self.watch.store

    def done(self, kind: str) -> int:
        """Commits of the stages of a kind: in the sweep's run or, of the attack's own kinds, in the attack's."""
        runs = [
            run
            for run in self.store.glob("demo-*")
            if (run.name == self.attack) == (kind in ATTACKS)
        ]
        counts = sum(map(markers, runs), Counter[str]())
        return sum(count for stage, count in counts.items() if stage.split("-")[0] == kind)

    def submit(self, name: str, words: Sequence[str], *more: str) -> Tree:
        """The command that submits, and follows to the end; its output is in a file of its name."""
        command = [sys.executable, "-m", "clipneuron.cli", "submit", words[0]]
        command += ["--address", self.cluster.job_server, *words[1:], "--store", str(self.store)]
        command += [*ON_CLUSTER, *PATIENT, *more]
        log = self.folder / f"{name}.txt"
        self.orders[name] = Tree(name, command, SURROUNDINGS, log)
        return self.orders[name]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until it holds; whoever is waited for must not have ended in an error."""
        deadline = time.monotonic() + MOST
        while not condition():
            for name, tree in self.orders.items():
                if tree.process.poll():
                    raise AssertionError(f"{name}: {tree.log.read_text()[-3000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {what}")
            time.sleep(0.2)

    def event(self, what: str) -> None:
        """Something has happened: what is committed is as it was, and `status` says so."""
        for run in Store(self.store).runs():
            before, now = self.kept.get(run.name, {}), attempts(run)
            if not before.items() <= now.items():
                raise AssertionError(
                    f"commits were lost or replaced: {before.items() - now.items()}"
                )
            self.kept[run.name] = now
        said = self.watch.look()
        if self.watch.wrong:
            raise AssertionError(f"status is wrong: {self.watch.wrong}")
        self.story.tell(what, said)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    asked = parser.parse_args()
    os.environ.update(SURROUNDINGS)
    print(describe(), flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tp-", dir="/tmp"))
    try:
        story = Story()
        prove(folder, story)
        print(story.table())
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)


def prove(folder: Path, story: Story) -> None:
    """All of it."""
    attack = begun(folder, story)
    (folder / "ray").mkdir()
    with nodes(folder / "ray") as cluster, Watch(folder / "store") as watch:
        world = World(cluster, folder, story, watch, attack)
        fall_and_rise(world)
        new_order(world)
        while_scheduled(world)
    check_end(world)


def begun(folder: Path, story: Story) -> str:
    """The name of the attack's run, which has come to its words in this process: the cluster goes on with a copy."""
    quiet([*ATTACK, *HERE, "--store", str(folder / "undisturbed"), "--until", "words"])
    shutil.copytree(folder / "undisturbed", folder / "store")
    (run,) = Store(folder / "undisturbed").runs()
    story.tell("the attack up to its words, in one process", f"{len(attempts(run))} commits")
    return run.name


def quiet(words: Sequence[str], status: int = 0) -> str:
    """What a command prints here; raises AssertionError where its exit status is another."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        found = clipneuron(list(words))
    if found != status:
        raise AssertionError(f"{words}: exit status {found}: {err.getvalue()[-2000:]}")
    return out.getvalue() + err.getvalue()


def fall_and_rise(world: World) -> None:
    """Both jobs from their submission to their end, through everything that befalls the cluster."""
    cluster = world.cluster
    head, trees = started(world)
    world.event("a head, two nodes of each pool")
    for name, words in {"sweep": SWEEP, "attack": ATTACK}.items():
        world.submit(name, words, *([] if name == "sweep" else ["--no-checks"]))
    world.event("a sweep and an attack submitted at once")
    world.wait(lambda: world.done("calibrate") >= 4, "the sweep")
    lose(world, trees, "clip")
    world.wait(lambda: world.done("pictures") >= 3, "pictures")
    lose(world, trees, "gen")
    trees |= together(cluster, ["clip-2", "gen-2"])
    world.event("a node added to each pool")
    world.wait(lambda: begun_on(world, trees["clip-2"]), "work on the new node of clip")
    world.event("the new node of clip is at work")
    world.wait(lambda: world.done("effects") >= 10, "effects")
    ended = head.kill()
    world.event(f"the head killed: {ended} processes, the drivers of both jobs among them")
    head, trees = restarted(world, trees)
    world.event("a new head on the same ports, two nodes of each pool")
    for name in ("sweep", "attack"):
        status = world.orders[name].wait(MOST)
        said = world.orders[name].log.read_text()
        if status:
            raise AssertionError(f"{name}: {said[-3000:]}")
        world.event(
            f"`submit` of the {name} has ended with 0, after {said.count('trying again')} retries"
        )


def started(world: World) -> tuple[Tree, dict[str, Tree]]:
    """A head and two nodes of each pool."""
    head = world.cluster.head()
    return head, together(world.cluster, ["clip-0", "clip-1", "gen-0", "gen-1"])


def together(cluster: Nodes, names: Sequence[str]) -> dict[str, Tree]:
    """Nodes that start at the same time, each of the pool that its name begins with."""
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(partial(worker, cluster), names), strict=True))


def worker(cluster: Nodes, name: str) -> Tree:
    """A node with space for two models of clip, for both jobs have one there, or for one of gen."""
    pool = name.partition("-")[0]
    return cluster.worker(name, pool, cores=4, models=2 if pool == "clip" else 1)


def restarted(world: World, trees: dict[str, Tree]) -> tuple[Tree, dict[str, Tree]]:
    """The nodes of the dead head end by themselves; whoever looks after them starts them again."""
    began, old = time.monotonic(), list(trees.values())
    head = world.cluster.head()
    world.wait(lambda: not any(tree.running for tree in old), "the old nodes to end")
    for tree in old:
        tree.kill()  # what is left of its processes
    world.event(f"the old nodes have ended by themselves, within {time.monotonic() - began:.0f} s")
    return head, together(world.cluster, [tree.name for tree in old])


def lose(world: World, trees: dict[str, Tree], pool: str) -> None:
    """A node of the pool that is at work."""
    names = [name for name in trees if name.startswith(pool)]
    world.wait(lambda: any(at_work(world, trees[name]) for name in names), f"work of {pool}")
    name = next(name for name in names if at_work(world, trees[name]))
    ended = trees.pop(name).kill()
    world.event(f"{name} killed at work: {ended} processes")


def begun_on(world: World, tree: Tree) -> set[Path]:
    """The markers, there or not, of the shards that processes of the node have begun."""
    pids, found = tree.pids(), set()
    for path in world.store.glob("*/attempts/*/*/*.json"):
        with contextlib.suppress(OSError):
            if json.loads(path.read_text())["pid"] in pids:
                run, stage, shard = path.parents[3], path.parents[1].name, path.parent.name
                found.add(run / "commits" / stage / f"{shard}.json")
    return found


def at_work(world: World, tree: Tree) -> bool:
    """Whether the node has a shard in hand."""
    return any(not marker.exists() for marker in begun_on(world, tree))


def new_order(world: World) -> None:
    """Another run from submission to end; and the old orders again, which have been carried out."""
    tree = world.submit("small", SMALL)
    if tree.wait(MOST):
        raise AssertionError(tree.log.read_text()[-3000:])
    world.event("a new order submitted to the new cluster: ended with 0")
    known = sum(
        again(world, name, words) for name, words in {"sweep": SWEEP, "attack": ATTACK}.items()
    )
    if not known:
        raise AssertionError("the new head knows of neither job, and one of them ended there")
    world.event(
        f"both orders given again: exit status 0, no shard begun; of {known} the new head says `has succeeded already`"
    )


def again(world: World, name: str, words: Sequence[str]) -> bool:
    """An order that was carried out, once more: whether the head knows that; if not, a job of it finds all done."""
    before = begun_in(world)
    tree = world.submit(f"{name}-again", words)
    if tree.wait(MOST):
        raise AssertionError(tree.log.read_text()[-3000:])
    if begun_in(world) != before:
        raise AssertionError(f"{name}: work was done again")
    return tree.says("has succeeded already")


def begun_in(world: World) -> int:
    """Attempts that have begun, of all runs."""
    return len(list(world.store.glob("*/attempts/*/*/*.json")))


def while_scheduled(world: World) -> None:
    """The line of a crontab, carried out twice at once as cron does it: one works, the other one leaves."""
    words = [*SMALL, "--limit", "40", *HERE, "--store", str(world.folder / "scheduled")]
    text = quiet(["schedule", "* * * * *", *words, "--as", "crontab"])
    (line,) = [line for line in text.splitlines() if line.startswith("* * * * *")]
    command = line.removeprefix("* * * * *").strip()
    together = [scheduled(world, command, number) for number in (0, 1)]
    statuses = sorted(tree.wait(MOST) for tree in together)
    said = "".join(tree.log.read_text() for tree in together)
    if statuses != [0, BUSY] or "another command is at work on" not in said:
        raise AssertionError(f"{statuses}: {said[-3000:]}")
    (sentence,) = [each for each in said.splitlines() if "another command is at work" in each]
    world.story.tell(
        "a scheduled line of crontab, carried out twice at once",
        f"exit status 0 and 75: {sentence}",
    )
    waiting = command.replace("--overlap forbid", "--overlap wait").replace(
        "--limit 40", "--limit 44"
    )
    together = [scheduled(world, waiting, number) for number in (2, 3)]
    statuses = sorted(tree.wait(MOST) for tree in together)
    said = "".join(tree.log.read_text() for tree in together)
    if statuses != [0, 0]:
        raise AssertionError(f"{statuses}: {said[-3000:]}")
    runs = Store(world.folder / "scheduled").runs()
    doubled = {
        run.name: len(list(run.objects.list("attempts/"))) - len(attempts(run)) for run in runs
    }
    if any(doubled.values()):
        raise AssertionError(f"work was done twice: {doubled}")
    world.story.tell(
        "the same with `--overlap wait`", "exit status 0 twice; no shard was begun twice in either"
    )


def scheduled(world: World, command: str, number: int) -> Tree:
    """As cron runs it."""
    log = world.folder / f"cron-{number}.txt"
    return Tree(f"cron-{number}", ["sh", "-c", command], SURROUNDINGS, log)


def check_end(world: World) -> None:
    """Nothing is lost, doubled or damaged, and nothing counts as failed."""
    place = world.folder / "undisturbed"
    for words in (ATTACK, SWEEP):
        quiet([*words, *HERE, "--store", str(place)])
    for undisturbed in Store(place).runs():
        found = next(run for run in Store(world.store).runs() if run.name == undisturbed.name)
        check_same(found, undisturbed)
        failed = sum(
            len(tries)
            for stage in found.stages_with_failures()
            for tries in found.failures(stage).values()
        )
        begun = len(list(found.objects.list("attempts/")))
        time.sleep(0.01)
        extra = len(list(found.objects.list("data/")))
        found.remove(found.garbage(older_than=0))
        named = {
            stored.key
            for stage in found.stages()
            for commit in found.committed(stage).values()
            for stored in commit.objects
        }
        if {*found.objects.list("data/")} != named or found.verify():
            raise AssertionError("vacuum left or took something")
        world.story.tell(
            f"{found.name}: tables as of a run in one process, row for row; `verify` and `vacuum`",
            f"{len(attempts(found))} commits, one per shard; {begun} attempts begun; failures on record: "
            f"{failed}; {extra - len(named)} tables that came second, removed",
        )
    for run in Store(
        place
    ).runs():  # not the new order, which asks for the stages up to `effects` alone
        quiet(["status", "--store", str(world.store), "--run", run.name])
    world.story.tell(
        "`clipneuron status`",
        f"exit status 0 for both; {world.watch.looks} looks before: none wrong",
    )


if __name__ == "__main__":
    main()
