"""Three Ray hosts with addresses of their own: one is cut off from the others in the middle of a run, and comes back.

    sudo python benchmarks/partitions.py

The hosts are network namespaces (root, Linux, /dev/net/tun) with a switch between them that delays and loses frames.
The store is a folder that all of them see, so that a host that is cut off goes on committing what it has in hand.
Shards are those of a stage without a model, slowed down. tests/faults/hosts/ has the program, and a test that runs it.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

# Before site-packages, in which another project may have installed its own `tests`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import describe

from tests.faults.hosts.network import Network, missing
from tests.faults.hosts.nodes import SURROUNDINGS
from tests.faults.hosts.partition import Partition


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each step of a shard")
    parser.add_argument("--seed", type=int, default=20261129, help="of the frames that get lost")
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    asked = parser.parse_args()
    if why := missing():
        print(f"there are no hosts to be had here: {why}")
        return 1
    os.environ.update(SURROUNDINGS)
    print(describe(), flush=True)
    print("\n| time | what was done | what was found |\n|---|---|---|", flush=True)
    folder, begun = Path(tempfile.mkdtemp(prefix="ph-", dir="/tmp")), time.monotonic()

    def tell(what: str, found: str) -> None:
        minutes, seconds = divmod(round(time.monotonic() - begun), 60)
        print(f"| {minutes}:{seconds:02d} | {what} | {found} |", flush=True)

    try:
        Partition(folder, Network(seed=asked.seed), tell, asked.shards, asked.seconds).prove()
    finally:
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
