"""Nodes of a Ray cluster as a shell starts them, each a tree of processes that ends as a machine ends: all at once."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.hooks import wait_for
from tests.faults.hosts.start import SECONDS as START_SECONDS
from tests.samples.cluster import free_port

ROOT = Path(__file__).resolve().parents[3]
LABEL = "clipneuron-pool"
"""The label of cluster.yaml."""
_STARTED, _CURRENT = "Ray runtime started", "ray_current_cluster"

SURROUNDINGS = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_niceness": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # On a busy machine processes take their time.
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "500",
    "RAY_agent_register_timeout_ms": "500000",
    "RAY_worker_register_timeout_seconds": "500",
    "OMP_NUM_THREADS": "1",
    # Modules of this tree, before those of other projects; and processes without what no model here needs.
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "samples" / "light")]),
}
"""What tests/conftest.py gives to the suite's cluster, for nodes that are started by themselves."""


@dataclass(frozen=True)
class Place:
    """Where processes run: on this machine, or where the words before a command put them."""

    name: str = "here"
    address: str = "127.0.0.1"
    before: tuple[str, ...] = ()


HERE = Place()


@dataclass
class Tree:
    """A command and all that it starts; what it says is added to {log}."""

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: "subprocess.Popen[str]" = field(init=False)

    def __post_init__(self) -> None:
        with self.log.open("a") as said:
            self.process = subprocess.Popen(
                self.words,
                env={**os.environ, **self.environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                text=True,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the command has not ended."""
        return self.process.poll() is None

    def says(self, words: str) -> bool:
        """Whether these words are in what it has said."""
        return words in self.log.read_text()

    def pids(self) -> set[int]:
        """Of all processes, as of now."""
        return {process.pid for process in self._processes()}

    def kill(self) -> int:
        """SIGKILL to every process, none of which gets to see the others die; how many there were."""
        found: dict[int, psutil.Process] = {}
        while new := [each for each in self._processes() if each.pid not in found]:
            for process in new:  # a process that is stopped starts no others
                found[process.pid] = process
                _signal(process, signal.SIGSTOP)
        for process in found.values():
            _signal(process, signal.SIGKILL)
        self.process.wait()
        return len(found)

    def wait(self, seconds: float) -> int:
        """The exit status; raises TimeoutExpired."""
        return self.process.wait(seconds)

    def _processes(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


@dataclass
class Nodes:
    """A head with a job server, and the nodes that have joined it."""

    folder: Path
    """Of the nodes' folders and logs: a short path, since sockets are there."""
    place: Place = HERE
    """Of the head."""
    surroundings: Mapping[str, str] = field(default_factory=lambda: SURROUNDINGS)
    started: list[Tree] = field(default_factory=list)
    port: int = field(init=False)
    jobs_port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port, self.jobs_port = lasting_port(), lasting_port()

    @property
    def address(self) -> str:
        """Of the cluster."""
        return f"{self.place.address}:{self.port}"

    @property
    def job_server(self) -> str:
        """Of the head's job server."""
        return f"http://{self.place.address}:{self.jobs_port}"

    def head(self) -> Tree:
        """A head without cores, as in cluster.yaml; again on the same ports after the last one has ended."""
        # A machine that was switched off has lost its temporary files; by this one Ray takes the last head for alive.
        (self.folder / "head" / _CURRENT).unlink(missing_ok=True)
        words = ["--head", "--port", str(self.port), "--num-cpus", "0"]
        words += ["--dashboard-host", self.place.address, "--dashboard-port", str(self.jobs_port)]
        return self._joined("head", self.place, words)

    def worker(self, name: str, pool: str, cores: int, models: int, place: Place = HERE) -> Tree:
        """A node that offers its pool as a named resource for so many models, and by its label."""
        words = ["--address", self.address, "--num-cpus", str(cores)]
        words += ["--resources", json.dumps({pool: models}), "--labels", f"{LABEL}={pool}"]
        return self._joined(name, place, words)

    def stop(self) -> None:
        """End what runs still."""
        for tree in self.started:
            tree.kill()

    def _joined(self, name: str, place: Place, words: Sequence[str]) -> Tree:
        """A node that has started."""
        tree = self._start(name, place, words)
        wait_for(lambda: not tree.running or tree.says(_STARTED), name, START_SECONDS)
        assert tree.running, f"{name} does not start: {tree.log.read_text()[-2000:]}"
        return tree

    def _start(self, name: str, place: Place, words: Sequence[str]) -> Tree:
        common = ["--block", "--disable-usage-stats", "--include-log-monitor", "false"]
        # Of one folder, nodes that start at the same time would take the same sockets.
        common += ["--object-store-memory", "150000000", "--temp-dir", str(self.folder / name)]
        common += ["--min-worker-port", "0", "--max-worker-port", "0"]
        common += ["--dashboard-agent-listen-port", str(free_port())]
        if place.before:
            common += ["--node-ip-address", place.address]
        command = [*place.before, sys.executable, "-m", "tests.faults.hosts.start"]
        log = self.folder / f"{name}-{len(self.started)}.log"
        self.started.append(Tree(name, [*command, *words, *common], self.surroundings, log))
        return self.started[-1]


@contextmanager
def nodes(folder: Path, place: Place = HERE, **more: str) -> Iterator[Nodes]:
    """A cluster to which nodes are added; gone after the block."""
    cluster = Nodes(folder, place, surroundings=SURROUNDINGS | more)
    try:
        yield cluster
    finally:
        cluster.stop()


def lasting_port() -> int:
    """A free port that no connection is given by chance, so that it can be listened at again later.

    Nor one of those where workers listen by default (10002 to 19999).
    """
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.create_server(("", port)):
            return port
    raise OSError("no port is free from 20000 to 29999")
