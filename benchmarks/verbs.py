"""CPU-seconds and peak memory of what a person types and waits for, each in a process of its own.

    python benchmarks/verbs.py                          # this checkout
    python benchmarks/verbs.py --against ../before      # and another one, on a store of its own

The store is that of a small attack in the demo world, which is run first (a minute). Every command runs `--times`
times, on one thread; the table has the least CPU time (user and system, child processes included), the largest
resident set of its processes, and the exit status.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HEADER = "from machine import describe; print(describe())"
HERE = Path(__file__).resolve().parents[1]
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
ATTACK += ["--pairs", "dog:deer", "--methods", "second-order", "--repeats", "1", "--captions", "4"]
ATTACK += [
    "--chosen",
    "1",
    "--each",
    "1",
    "--words",
    "4",
    "--engine",
    "in-process",
    "--store",
    "{store}",
]
RUN = ["run", "--store", "{store}", "--recipe"]
VERBS = {
    "--help": ["--help"],
    "run --help": ["run", "--help"],
    "run --recipe dem": [*RUN, "dem"],
    "run --images nowhere": [*RUN, "demo", "--images", "nowhere"],
    "run --until efects": [*RUN, "demo", "--until", "efects"],
    "run --device gpu": [*RUN, "demo", "--device", "gpu", "--engine", "in-process"],
    "attack --pairs dog": ["attack", "--recipe", "demo", "--pairs", "dog", "--store", "{store}"],
    "status": ["status", "--store", "{store}"],
    "tables": ["tables", "--store", "{store}"],
    "tables norms": ["tables", "--store", "{store}", "norms"],
    "verify": ["verify", "--store", "{store}"],
    "vacuum": ["vacuum", "--store", "{store}"],
    "review --export": [
        "review",
        "--store",
        "{store}",
        "--reviewer",
        "ada",
        "--export",
        "{store}.csv",
    ],
}


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    megabytes: float
    status: int

    def __str__(self) -> str:
        return f"{self.seconds:8.2f} {self.megabytes:7.0f} {self.status:6d}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout, shown first")
    parser.add_argument("--times", type=int, default=3, help="runs of each command (default: 3)")
    options = parser.parse_args()
    checkouts = [options.against.resolve()] if options.against else []
    checkouts.append(HERE)
    # Not here: what a process held counts for those that it starts, too.
    subprocess.run([sys.executable, "-c", HEADER], cwd=HERE / "benchmarks", check=True)
    with tempfile.TemporaryDirectory(prefix="verbs-") as folder:
        stores = [finished(checkout, Path(folder) / f"{n}") for n, checkout in enumerate(checkouts)]
        titles = ["before", "now"][-len(checkouts) :]
        print(f"{'':22}" + "".join(f"{title:>24}" for title in titles))
        print(f"{'':22}" + len(checkouts) * f"{'CPU s':>9} {'MB':>7} {'status':>6}")
        for verb, words in VERBS.items():
            pairs = zip(checkouts, stores, strict=True)
            costs = [least(checkout, words, store, options.times) for checkout, store in pairs]
            print(f"{verb:22}" + " ".join(map(str, costs)), flush=True)


def finished(checkout: Path, store: Path) -> Path:
    """The store of a small attack that this checkout has run."""
    cost = once(checkout, ATTACK, store)
    if cost.status:
        sys.exit(f"the attack in {checkout} ended with status {cost.status}")
    return store


def least(checkout: Path, words: list[str], store: Path, times: int) -> Cost:
    """The cheapest of several runs."""
    return min((once(checkout, words, store) for _ in range(times)), key=lambda cost: cost.seconds)


def once(checkout: Path, words: list[str], store: Path) -> Cost:
    """One command of a checkout, with nothing shown."""
    command = [
        sys.executable,
        "-m",
        "clipneuron.cli",
        *(word.format(store=store) for word in words),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory(prefix="elsewhere-") as place:
        process = subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    return Cost(seconds, usage.ru_maxrss / 1024, process.returncode)


def core_seconds(command: list[str]) -> float:
    """Of a process and of those it waited for; raises CalledProcessError where it fails."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


if __name__ == "__main__":
    main()
