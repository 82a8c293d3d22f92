"""Hosts with addresses of their own on one machine, and a switch between them that delays, loses and cuts off.

Each host is a network namespace with a TAP device and a host name of its own. All frames pass through
a thread of this process, since not every kernel has netem: it holds frames back, drops a seeded share of them, and all
of a host that is cut off. Creating namespaces needs root and /dev/net/tun (Linux, tun(4), ip-netns(8)).
"""

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.faults.hosts.nodes import Place

_TUNSETIFF, _TAP, _NO_INFO = 0x400454CA, 0x0002, 0x1000
_MTU = 9000
_TOOLS = ("ip", "unshare", "hostname")
_NETWORK = "10.87.0"
_BROADCAST = b"\xff" * 6


def missing() -> str:
    """Why hosts cannot be had here, in words; "" where they can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "network namespaces need root"
    if absent := [tool for tool in _TOOLS if not shutil.which(tool)]:
        return f"not installed: {', '.join(absent)}"
    if not Path("/dev/net/tun").exists():
        return "this kernel has no /dev/net/tun"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--uts", "true"], capture_output=True, text=True
    )
    return tried.stderr.strip()


@dataclass
class Network:
    """What is between the hosts, as it is now."""

    delay: float = 0.0
    """Seconds that every frame is held back; up to half of it more at random, though never past another one."""
    loss: float = 0.0
    """Share of frames that get lost."""
    seed: int = 20261129
    cut: set[str] = field(default_factory=set)
    """Names of hosts that nothing comes to or from."""
    carried: int = 0
    lost: int = 0
    refused: int = 0
    """Frames of or to hosts that were cut off."""
    _ports: dict[int, str] = field(default_factory=dict)
    _known: dict[bytes, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def switch(self) -> None:
        """Pass frames on until it is over."""
        dice, order, held = random.Random(self.seed), count(), []
        last: dict[int, float] = {}
        while not self._over.is_set():
            wait = max(0.0, held[0][0] - time.monotonic()) if held else 0.2
            ready, _, _ = select.select([*self._ports], [], [], min(wait, 0.2))
            for port in ready:
                frame = _read(port)
                if frame and not self._drops(port, dice):
                    due = time.monotonic() + self.delay * (1 + dice.random() / 2)
                    due = last[port] = max(due, last.get(port, 0.0))
                    heapq.heappush(held, (due, next(order), port, frame))
            while held and held[0][0] <= time.monotonic():
                _, _, port, frame = heapq.heappop(held)
                self._deliver(port, frame)

    def _drops(self, port: int, dice: random.Random) -> bool:
        if self._ports[port] in self.cut:
            self.refused += 1
            return True
        if dice.random() < self.loss:
            self.lost += 1
            return True
        return False

    def _deliver(self, source: int, frame: bytes) -> None:
        to, sender = frame[:6], frame[6:12]
        self._known[sender] = source
        known = self._known.get(to)
        for port in [known] if known is not None and not to[0] & 1 else self._ports:
            if port == source:
                continue
            if self._ports[port] in self.cut or self._ports[source] in self.cut:
                self.refused += 1
                continue
            self.carried += 1
            with suppress(BlockingIOError, OSError):
                os.write(port, frame)


def _read(port: int) -> bytes:
    try:
        return os.read(port, _MTU + 100)
    except OSError:  # nothing there after all, or the device is down still
        return b""


@contextmanager
def hosts(names: Sequence[str], network: Network) -> Iterator[dict[str, Place]]:
    """A host of each name, on the network."""
    with ExitStack() as stack:
        places = {
            name: stack.enter_context(_host(number, name, network))
            for number, name in enumerate(names, 1)
        }
        thread = threading.Thread(target=network.switch, daemon=True)
        thread.start()
        try:
            yield places
        finally:
            network._over.set()
            thread.join()


@contextmanager
def _host(number: int, name: str, network: Network) -> Iterator[Place]:
    space, device = f"cn{os.getpid()}-{number}", f"cn{os.getpid() % 100000}t{number}"
    _ip("netns", "add", space)
    try:
        port = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        try:
            request = struct.pack("16sH22x", device.encode(), _TAP | _NO_INFO)
            fcntl.ioctl(port, _TUNSETIFF, request)
            address = f"{_NETWORK}.{number}"
            _ip("link", "set", device, "netns", space)
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "link", "set", device, "mtu", str(_MTU), "up")
            _ip("-n", space, "address", "add", f"{address}/24", "dev", device)
            network._ports[port] = name
            yield Place(name, address, _before(space, name))
        finally:
            network._ports.pop(port, None)
            os.close(port)
    finally:
        _ip("netns", "delete", space)


def _before(space: str, name: str) -> tuple[str, ...]:
    """The words that have a command run on the host."""
    named = ("sh", "-c", 'hostname "$0" && exec "$@"', name)
    return ("ip", "netns", "exec", space, "unshare", "--uts", *named)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
