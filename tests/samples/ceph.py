"""A Ceph of one process each (mon, mgr, osd, radosgw) with a real S3: signatures and conditions are checked."""

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-mgr", "ceph-osd")
KEY, SECRET = "testtest", "testtesttest"

_CONFIG = """
[global]
fsid = {fsid}
run dir = {root}
admin socket = {root}/$cluster-$name.asok
keyring = {root}/keyring
log file = {root}/$name.log
mon host = [v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
[mon.a]
mon data = {root}/mon
mon data avail crit = 0
mon data avail warn = 0
[mgr.x]
mgr data = {root}/mgr
keyring = {root}/mgr/keyring
[osd.0]
osd data = {root}/osd
keyring = {root}/osd/keyring
osd objectstore = memstore
memstore device bytes = 1073741824
osd class load list = *
osd class default list = *
[client.rgw.a]
keyring = {root}/rgw.keyring
rgw frontends = beast endpoint=127.0.0.1:{gateway}
rgw dns name = 127.0.0.1
"""


def missing() -> list[str]:
    """The programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextmanager
def running() -> Iterator[str]:
    """The address of a gateway with one user, until the block is left; raises RuntimeError."""
    with tempfile.TemporaryDirectory(prefix="ceph-") as folder:
        ceph = _Ceph(Path(folder))
        try:
            yield ceph.start()
        finally:
            ceph.stop()


class _Ceph:
    """Its daemons, in the foreground, children of the tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "ceph.conf"
        self.daemons: list[subprocess.Popen[bytes]] = []
        mon, mon_v1, self.gateway = _free_ports(3)
        text = _CONFIG.format(
            root=root, fsid=uuid.uuid4(), mon=mon, mon_v1=mon_v1, gateway=self.gateway
        )
        self.config.write_text(text)
        self.monitors = [f"[v2:127.0.0.1:{mon},v1:127.0.0.1:{mon_v1}]"]
        for name in ("mon", "mgr", "osd"):
            (root / name).mkdir()

    def start(self) -> str:
        self._monitor()
        self._manager()
        self._storage()
        self._key("client.rgw.a", "rgw.keyring", mon="allow rw", osd="allow rwx")
        self._daemon("radosgw", "-n", "client.rgw.a")
        endpoint = f"http://127.0.0.1:{self.gateway}"
        _wait_for(endpoint)
        user = ("user", "create", "--uid=test", "--display-name=test")
        keys = (f"--access-key={KEY}", f"--secret={SECRET}")
        self._call("radosgw-admin", "-c", str(self.config), *user, *keys)
        return endpoint

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()

    def _monitor(self) -> None:
        keyring, secret = str(self.root / "keyring"), str(self.root / "mon.keyring")
        everything = [
            part for who in ("mon", "osd", "mgr", "mds") for part in ("--cap", who, "allow *")
        ]
        new = ("--create-keyring", "--gen-key", "-n")
        self._call("ceph-authtool", keyring, *new, "client.admin", *everything)
        self._call("ceph-authtool", secret, *new, "mon.", "--cap", "mon", "allow *")
        self._call("ceph-authtool", secret, "--import-keyring", keyring)
        fsid = next(line for line in self.config.read_text().splitlines() if "fsid" in line)
        members = ("--create", "--fsid", fsid.split()[-1], "--addv", "a", *self.monitors)
        monmap = str(self.root / "monmap")
        self._call("monmaptool", *members, monmap)
        made = ("--mkfs", "--monmap", monmap, "--keyring", secret, "-c", str(self.config))
        self._call("ceph-mon", "--id", "a", *made)
        self._daemon("ceph-mon", "--id", "a")

    def _manager(self) -> None:
        self._key("mgr.x", "mgr/keyring", mon="allow profile mgr", osd="allow *", mds="allow *")
        self._daemon("ceph-mgr", "--id", "x")

    def _storage(self) -> None:
        self._ceph("osd", "create")
        self._ceph("osd", "crush", "add", "osd.0", "1", "root=default")
        self._key(
            "osd.0", "osd/keyring", mon="allow profile osd", mgr="allow profile osd", osd="allow *"
        )
        self._call("ceph-osd", "--id", "0", "--mkfs", "-c", str(self.config))
        self._daemon("ceph-osd", "--id", "0")

    def _key(self, who: str, file: str, **capabilities: str) -> None:
        allowed = [part for pair in capabilities.items() for part in pair]
        key = self._ceph("auth", "get-or-create", who, *allowed)
        (self.root / file).write_bytes(key)

    def _ceph(self, *arguments: str) -> bytes:
        return self._call("ceph", "-c", str(self.config), *arguments)

    def _daemon(self, *command: str) -> None:
        log = (self.root / f"{command[0]}.out").open("wb")
        arguments = [*command, "-f", "-c", str(self.config)]
        self.daemons.append(subprocess.Popen(arguments, stdout=log, stderr=log))

    def _call(self, *command: str) -> bytes:
        done = subprocess.run(command, capture_output=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
        return done.stdout


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for(endpoint: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise RuntimeError(f"radosgw did not answer at {endpoint} within {seconds:.0f} s")
