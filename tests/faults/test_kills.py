"""Processes and nodes of a cluster are killed at any moment: the tables are those of a quiet day, each made once."""

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from ray._private.node import Node
from ray.cluster_utils import Cluster

from clipneuron.engine.stage import Resources
from clipneuron.store.store import Store
from tests.faults.hooks import Deadly, HookedStage, Slow, hooked, wait_for
from tests.faults.light import Light, light_run
from tests.faults.worlds import carry_out, check_same, on_cluster
from tests.samples.world import finished, sweep_of

pytestmark = [pytest.mark.environment, pytest.mark.slow, pytest.mark.timeout(240)]
STEPS = ("load", "process", "marker", "committed")
"""Moments of a shard: in a decoding task, in an actor or task, in a commit before and after it counts."""
POOLS = [Resources(pool="clip"), Resources()]
SEED = 20261123


@dataclass
class Killer:
    """Kills busy workers of this process's cluster at seeded moments: so many in each step, until it is stopped."""

    slow: Slow
    seed: int
    each: int
    kills: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> "Killer":
        self._dice, self._over = random.Random(self.seed), threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(self._dice.uniform(0, 2 * self.slow.seconds)):
            steps = [step for step in STEPS if self.kills[step] < self.each]
            for step in self._dice.sample(steps, len(steps)):
                if self._kill_one(step):
                    break

    def _kill_one(self, step: str) -> bool:
        busy = [pid for pid in self.slow.busy(step) if _is_our_worker(pid)]
        if busy:
            os.kill(self._dice.choice(busy), signal.SIGKILL)
            self.kills[step] += 1
        return bool(busy)


def _is_our_worker(pid: int) -> bool:
    """Whether it lives, and descends from this process."""
    try:
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and os.getpid() in [parent.pid for parent in process.parents()]
    except psutil.NoSuchProcess:
        return False


def kill_in_runs(folder: Path, each: int, run_once: Callable[[int, Slow], None]) -> None:
    """Runs under fire, one after another, until every step has lost so many workers."""
    kills: Counter[str] = Counter()
    for seed in range(SEED, SEED + 5):
        missing = each - min(kills[step] for step in STEPS)
        slow = Slow(folder / f"slow-{seed}", 0.3)
        with Killer(slow, seed, missing) as killer:
            run_once(seed, slow)
        kills += killer.kills
        print(f"seed {seed}: {dict(killer.kills)}")  # noqa: T201 - shown when the test fails
        if min(kills[step] for step in STEPS) >= each:
            return
    pytest.fail(f"too few workers were at hand to be killed: {kills}")


def test_a_sweep_whose_workers_are_killed_gives_the_same_tables(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Decoders, actors with a model, and commits."""
    _, undisturbed = finished(tmp_path, "undisturbed", shard_size=2)

    def run_once(seed: int, slow: Slow) -> None:
        sweep = sweep_of(tmp_path, f"killed-{seed}", shard_size=2)
        carry_out(sweep, on_cluster(actors=1, attempts=8), slow, kinds=["effects"])
        check_same(sweep.open(), undisturbed)

    kill_in_runs(tmp_path, 1, run_once)


@pytest.mark.parametrize("pool", POOLS, ids=["actors", "tasks"])
def test_many_workers_killed_at_random_moments_change_nothing(
    cluster: Cluster, tmp_path: Path, pool: Resources
) -> None:
    stage = Light(resources=pool)
    undisturbed = light_run(tmp_path / "undisturbed", stage)

    def run_once(seed: int, slow: Slow) -> None:
        run = Store(tmp_path / f"killed-{seed}").open_run("light", {})
        on_cluster(attempts=8).run_stage(HookedStage(stage, slow), hooked(run, slow))
        check_same(run, undisturbed)

    kill_in_runs(tmp_path, 1, run_once)


def test_a_node_that_is_lost_at_work_takes_nothing_along(cluster: Cluster, tmp_path: Path) -> None:
    slow, stage = Slow(tmp_path, 0.4), Light(12)
    run = Store(tmp_path / "lost").open_run("light", {})
    lost = cluster.add_node(num_cpus=2, resources={"clip": 2.0})

    def lose() -> None:
        wait_for(lambda: run.done("light") and _at_work(lost, slow), "somebody at work there")
        cluster.remove_node(lost, allow_graceful=False)

    thread = threading.Thread(target=lose)
    thread.start()
    on_cluster(actors=3).run_stage(HookedStage(stage, slow), hooked(run, slow))
    thread.join()
    assert lost not in cluster.worker_nodes, "the node should have been lost before the end"
    check_same(run, light_run(tmp_path / "undisturbed", stage))


def _at_work(node: Node, slow: Slow) -> bool:
    """Whether an actor or a task of this node has a shard in hand."""
    (raylet,) = node.all_processes["raylet"]
    workers = {child.pid for child in psutil.Process(raylet.process.pid).children(recursive=True)}
    return any(workers.intersection(slow.busy(step)) for step in STEPS)


def test_workers_that_die_between_their_commit_and_their_report_do_not_commit_twice(
    cluster: Cluster, tmp_path: Path
) -> None:
    stage, run = Light(8), Store(tmp_path / "unreported").open_run("light", {})
    names = [shard.name for shard in stage.shards(run)]
    deadly = Deadly(tmp_path, "committed", frozenset(names))
    report = on_cluster().run_stage(HookedStage(stage, deadly), hooked(run, deadly))
    assert [deadly.deaths(name) for name in names] == [1] * len(names)
    assert (report.done_now, report.rows_now) == (8, 24)
    assert run.failures("light") == {}
    assert len(list(run.objects.list("data/light/"))) == len(names), "no attempt wrote twice"
    check_same(run, light_run(tmp_path / "undisturbed", stage))
