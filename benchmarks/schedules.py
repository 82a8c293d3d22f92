"""Plays seeded schedules of people, faults and deaths at one run in memory, and counts what the auditor finds.

    python benchmarks/schedules.py 1000000 --processes 2       # a million schedules
    python benchmarks/schedules.py --seed 1234                 # one, told request by request
    python benchmarks/schedules.py 10000 --mistake "commit before data"

The store's and the engine's code is the product's (`Runner`, `Run`, `S3Objects` with its retries); the bucket, the
network, the clocks and the order of events come from tests/faults/schedules/. Seconds are those of the cores, so that
other work on the machine counts little. The exit status is 1 where something was found.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

# Before site-packages, in which another project may have installed its own `tests`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults.schedules.mistakes import MISTAKES, planted
from tests.faults.schedules.schedule import Outcome, play

CHUNK = 250
SHOWN = 20


@dataclass
class Sum:
    """What came of some schedules."""

    schedules: int = 0
    requests: int = 0
    seconds: float = 0.0
    met: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Sum") -> None:
        """And of some more."""
        self.schedules += other.schedules
        self.requests += other.requests
        self.seconds += other.seconds
        self.met += other.met
        self.failed += other.failed

    def __str__(self) -> str:
        met = ", ".join(f"{count:,} {what}" for what, count in sorted(self.met.items()) if what)
        return (
            f"{self.schedules:,} schedules, {self.requests:,} requests; "
            f"{self.schedules / self.seconds:.0f} schedules/s of a core; {len(self.failed):,} with a problem\n{met}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=10_000, help="schedules to play")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="play only this one, and tell it")
    parser.add_argument("--mistake", choices=MISTAKES, default="", help="plant one")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    if asked.seed is not None:
        return tell(asked.seed, asked.mistake)
    return play_all(asked)


def tell(seed: int, mistake: str) -> int:
    """One schedule, request by request."""
    with planted(mistake):
        outcome = play(seed)
    for line in outcome.told():
        print(line)
    print(str(outcome).splitlines()[0])
    return 1 if outcome.problems else 0


def play_all(asked: argparse.Namespace) -> int:
    """Many, with their figures."""
    from machine import describe  # it imports torch, which the telling of one schedule is spared

    print(describe(), flush=True)
    total, said = Sum(), time.monotonic()
    seeds = range(asked.first, asked.first + asked.count)
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    for some in played(chunks, asked.mistake, asked.processes):
        total.add(some)
        for problem in some.failed[: max(0, SHOWN - len(total.failed) + len(some.failed))]:
            print(problem, flush=True)
        if time.monotonic() - said > 60:
            said = time.monotonic()
            print(str(total).splitlines()[0], flush=True)
    print(total)
    return 1 if total.failed else 0


def played(chunks: Sequence[range], mistake: str, processes: int) -> Iterator[Sum]:
    if processes == 1:
        yield from map(partial(sum_of, mistake), chunks)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(partial(sum_of, mistake), chunks)


def sum_of(mistake: str, seeds: range) -> Sum:
    total, began = Sum(), time.process_time()
    with planted(mistake):
        for seed in seeds:
            add(total, play(seed))
    total.seconds = time.process_time() - began
    return total


def add(total: Sum, outcome: Outcome) -> None:
    total.schedules += 1
    total.requests += len(outcome.log)
    total.met += outcome.met
    if outcome.problems:
        total.failed.append(str(outcome))


if __name__ == "__main__":
    sys.exit(main())
