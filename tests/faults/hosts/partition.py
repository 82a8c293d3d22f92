"""Three hosts, one of them cut off in the middle of a run, over a network that delays and loses: what comes of it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clipneuron.store.store import Run, Store
from tests.faults.hooks import Slow
from tests.faults.hosts.network import Network, hosts
from tests.faults.hosts.nodes import Nodes, Place, Tree, nodes
from tests.faults.light import Light, light_run
from tests.faults.worlds import attempts, check_same

IMPATIENT = {
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
"""A node that is not heard of for some 15 s is dead; by default it is a minute."""
SHORT, LONG = 5.0, 40.0
"""Seconds that a host is cut off: too short to be noticed, and long enough to be taken for dead."""
MOST = 600.0


@dataclass
class Partition:
    """A run over three hosts, and what is done to it; `tell` is called with what was done and found."""

    folder: Path
    network: Network
    tell: Callable[[str, str], None]
    shards: int = 90
    seconds: float = 0.8
    """That each step of a shard takes."""

    def prove(self) -> None:
        """All of it; raises AssertionError where anything is lost, doubled or damaged."""
        with (
            hosts(("head", "one", "two"), self.network) as places,
            nodes(self.folder, places["head"], **IMPATIENT) as cluster,
        ):
            cluster.head()
            trees = {name: self._node(cluster, places[name]) for name in ("one", "two")}
            with self._driver(cluster, places["head"]) as driver:
                self._trouble(cluster, places["two"], trees["two"], driver)
                assert driver.wait(MOST) == 0, driver.log.read_text()[-3000:]
        self._check()

    def _trouble(self, cluster: Nodes, place: Place, node: Tree, driver: Tree) -> None:
        self._wait(driver, lambda: self.done >= 4 and self._computes(node), "work on both hosts")
        self.network.delay, self.network.loss = 0.03, 0.01
        self._told("30 to 45 ms of delay and 1 % of loss from here on, for every frame")
        self._cut_off("two", SHORT)
        self._wait(driver, lambda: self.done >= 8, "more commits")
        assert node.running, "so short a cut should have gone unnoticed"
        self._told(f"two was cut off for {SHORT:.0f} s: nobody has noticed")
        before = self.done
        self._cut_off("two", LONG)
        self._told(f"two was cut off for {LONG:.0f} s; {self.done - before} commits meanwhile")
        # The other host alone would have ended the run before a slow machine has started a node.
        with self._steps.holding():
            self._wait(driver, lambda: not node.running, "the node to see that it was given up")
            late = node.kill()
            self._told(f"healed; the node has ended by itself, and left {late} processes")
            again = self._node(cluster, place)
            self._told("the node started anew, as whatever looks after it does")
            self._wait(driver, lambda: self._computes(again), "a model on the node that came back")
            self._told("a process with a model is at work on it")

    def _node(self, cluster: Nodes, place: Place) -> Tree:
        """Space for one process with a model."""
        return cluster.worker(place.name, "clip", cores=3, models=1, place=place)

    @contextmanager
    def _driver(self, cluster: Nodes, place: Place) -> Iterator[Tree]:
        words = [*place.before, sys.executable, "-m", "tests.faults.hosts.driver", cluster.address]
        words += [str(self.folder), str(self.shards), str(self.seconds)]
        driver = Tree("driver", words, cluster.surroundings, self.folder / "driver.log")
        try:
            yield driver
        finally:
            driver.kill()

    def _cut_off(self, name: str, seconds: float) -> None:
        self.network.cut.add(name)
        time.sleep(seconds)
        self.network.cut.discard(name)

    @property
    def run(self) -> Run | None:
        """The run, once it has begun."""
        found = Store(self.folder / "store").runs()
        return found[0] if found else None

    @property
    def done(self) -> int:
        """Shards that are committed."""
        return len(self.run.done("light")) if self.run else 0

    @property
    def _steps(self) -> Slow:
        return Slow(self.folder / "steps", self.seconds)

    def _computes(self, node: Tree) -> bool:
        """Whether a process of the crew is at work on the node, which also commits what others have computed."""
        return bool(node.pids().intersection(self._steps.busy("process")))

    def _wait(self, driver: Tree, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + MOST
        while not condition():
            assert driver.running, (
                f"the driver has ended before {what}: {driver.log.read_text()[-3000:]}"
            )
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.2)

    def _told(self, what: str) -> None:
        self.tell(what, f"{self.done}/{self.shards} shards committed")

    def _check(self) -> None:
        run = self.run
        assert run is not None
        check_same(run, light_run(self.folder / "undisturbed", Light(self.shards)))
        by = ", ".join(sorted({commit.host for commit in run.committed("light").values()}))
        begun = len(list(run.objects.list("attempts/")))
        failed = sum(map(len, run.failures("light").values()))
        time.sleep(0.01)
        extra = len(list(run.objects.list("data/"))) - self.shards
        run.remove(run.garbage(older_than=0))
        assert run.verify() == []
        assert len(list(run.objects.list("data/"))) == self.shards, "vacuum left or took something"
        self.tell(
            "tables as undisturbed, row for row; `verify` and `vacuum`",
            f"{len(attempts(run))} commits, one per shard, by processes of {by}; {begun} attempts begun, {failed} "
            f"failures on record, {extra} tables that came second, removed; frames: {self.network.carried:,} carried, "
            f"{self.network.lost:,} lost, {self.network.refused:,} of a host that was cut off",
        )
