"""Time and peak memory of whole runs of the demo recipe over growing collections, each in a process of its own.

    python benchmarks/whole_run.py                    # 500, 2,000 and 8,000 pictures
    python benchmarks/whole_run.py --pictures 500 1000

Pictures are rendered before the clock starts. Peak memory is the operating system's figure for the process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

from clipneuron.demo.collection import write_collection


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pictures", type=int, nargs="+", default=[500, 2000, 8000])
    arguments = parser.parse_args()
    print(describe())
    print(f"{'pictures':>9} {'seconds':>9} {'pictures/s':>11} {'peak MiB':>9}")
    for pictures in arguments.pictures:
        with tempfile.TemporaryDirectory() as folder:
            seconds, peak = run(Path(folder), pictures)
        print(f"{pictures:9,} {seconds:9.1f} {pictures / seconds:11.1f} {peak:9,.0f}", flush=True)


def run(folder: Path, pictures: int) -> tuple[float, float]:
    """Seconds and peak MiB of one run."""
    write_collection(folder / "pictures" / f"demo-0-{pictures}", pictures, 0, biased=True)
    command = [sys.executable, "-m", "clipneuron.cli", "run", "--recipe", "demo"]
    command += ["--limit", str(pictures), "--store", str(folder), "--engine", "in-process"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
