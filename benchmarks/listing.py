"""Time and peak memory of listing, planning and extending collections, each in a process of its own.

    python benchmarks/listing.py                        # all, up to a simulated million
    python benchmarks/listing.py --only simulated --pictures 1300000

`simulated` lists names like ImageNet's, with S3's etags but without a store; the others are files of one
KiB on the local disk, such files in tars, and objects of a local S3 server (moto: slower than a real one).
"list" includes the digest, "extend" plans the same collection after a tenth of it was planned. Peak memory is the
operating system's figure for the process; the row "none" is a process that has only imported the package.
"""

import argparse
import io
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from clipneuron.data.columns import Columns
from clipneuron.data.files import Span, Status, page
from clipneuron.data.folders import open_folder
from clipneuron.data.listing import list_files
from clipneuron.data.opening import Collection, open_collection
from clipneuron.data.plans import plan
from clipneuron.store.objects.s3_client import s3_filesystem

PLANS = (
    ("none", 0),
    ("simulated", 10**5),
    ("simulated", 10**6),
    ("folder", 10**4),
    ("tars", 10**4),
    ("s3", 2000),
)
HEADER = "from machine import describe; print(describe())"
MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Simulated:
    """So many files in a thousand folders, a page of a thousand at a time, in no order."""

    count: int
    url = "simulated"
    concurrency = 1

    def location(self, path: str) -> str:
        """The path itself."""
        return path

    def pages(self, skipped: Counter[str]) -> Iterator[pa.Table]:
        """The names, numbered, in a scattered order."""
        for first in range(0, self.count, 1000):
            numbers = [
                7_368_787 * n % self.count for n in range(first, min(first + 1000, self.count))
            ]
            paths = [f"n{n % 1000:08d}/n{n % 1000:08d}_{n}.JPEG" for n in numbers]
            yield page(paths, [110_000 + n for n in numbers], [f"{n:032x}" for n in numbers])

    def status(self, path: str) -> Status | None:
        """Nothing is there."""
        return None

    def read(self, span: Span) -> bytes:
        """Nothing is there."""
        raise FileNotFoundError(span.path)

    def open(self, path: str, size: int) -> io.RawIOBase:
        """Nothing is there."""
        raise FileNotFoundError(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=[kind for kind, _ in PLANS])
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(measured(asked.only, asked.pictures))
        return
    # In a process of its own: it imports torch, and children begin with their parent's peak memory.
    subprocess.run([sys.executable, "-c", HEADER], cwd=Path(__file__).parent, check=True)
    print(
        f"{'kind':10} {'pictures':>9} {'list s':>8} {'plan s':>8} {'extend s':>9} {'read/s':>8} {'peak MiB':>9}"
    )
    for kind, count in PLANS:
        if asked.only in (None, kind) and asked.pictures in (None, count):
            measure(kind, count)
    if asked.only and asked.pictures and (asked.only, asked.pictures) not in PLANS:
        measure(asked.only, asked.pictures)


def measure(kind: str, count: int) -> None:
    command = [sys.executable, __file__, "--measure", "--only", kind, "--pictures", str(count)]
    subprocess.run(command, check=True)


def measured(kind: str, count: int) -> str:
    """One line of the table."""
    if kind == "none":
        return f"{kind:10} {count:9,} {'':8} {'':8} {'':9} {'':8} {peak():9,.0f}"
    with tempfile.TemporaryDirectory() as folder:
        place, server = made(kind, count, Path(folder))
        start = time.perf_counter()
        collection = opened(kind, count, place)
        listed = time.perf_counter()
        whole = plan(collection, 1024)
        planned = time.perf_counter()
        assert plan(collection, 1024, whole.slice(0, count // 10)).num_rows == count - count // 10
        extended = time.perf_counter()
        rate = "" if kind == "simulated" else f"{read_rate(collection):,.0f}"
        if server:
            server.kill()
    seconds = f"{listed - start:8.2f} {planned - listed:8.2f} {extended - planned:9.2f}"
    return f"{kind:10} {count:9,} {seconds} {rate:>8} {peak():9,.0f}"


def read_rate(collection: Collection) -> float:
    """Pictures per second, a thousand read in order."""
    some = collection.pictures[:1000]
    start = time.perf_counter()
    assert all(isinstance(data, bytes) for data in collection.read_many(some))
    return len(some) / (time.perf_counter() - start)


def peak() -> float:
    """Peak MiB of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def opened(kind: str, count: int, place: str) -> Collection:
    if kind != "simulated":
        return open_collection(place)
    files = Simulated(count)
    return open_folder(files, list_files(files), Columns())


def made(kind: str, count: int, folder: Path) -> tuple[str, subprocess.Popen[str] | None]:
    """Where the files of one kind are, and the server that must be stopped."""
    names = {
        f"{n % 100:03d}/{n}.jpg": os.urandom(1024)
        for n in range(count if kind != "simulated" else 0)
    }
    if kind == "folder":
        for name, data in names.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
    if kind == "tars":
        for number in range(10):
            with tarfile.open(folder / f"{number}.tar", "w") as tar:
                for name in list(names)[number::10]:
                    add(tar, name, names[name])
                    add(tar, name.replace(".jpg", ".cls"), b"%d" % number)
    if kind == "s3":
        return "s3://pictures/all", served(names)
    return str(folder), None


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def served(names: dict[str, bytes]) -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-c", MOTO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.stdout.readline().strip()}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    s3_filesystem().call_s3("create_bucket", Bucket="pictures")
    s3_filesystem().pipe(
        {f"pictures/all/{name}": data for name, data in names.items()}, batch_size=8
    )
    return server


if __name__ == "__main__":
    main()
