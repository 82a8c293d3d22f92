"""Thousands of seeded orders of events in which people, faults and deaths meet in one run: its invariants hold in all.

A seed that fails is told with the line that plays it again. benchmarks/schedules.py plays as many as one likes.
"""

import hashlib
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.faults.schedules.mistakes import MISTAKES, planted
from tests.faults.schedules.network import FAULTS
from tests.faults.schedules.schedule import Outcome, play

ROOT = Path(__file__).parents[3]
SEEDS = 2000
WITHIN = 10_000
FINDS = {
    "commit before data": 0,
    "put without If-None-Match": 7,
    "vacuum without its second look": 52,
    "manifest believed blindly": 30,
    "attempt counted twice": 42,
    "one name for all attempts": 7,
    "lease taken over early": 8,
    "lease replaced without If-Match": 0,
    "heartbeat written twice": 276,
}
"""A seed at which each mistake is found today: from there on it is looked for."""
RARE = ("killed", "repaired", "forgotten", "left over", "expired")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_invariants_hold_whatever_the_order() -> None:
    met, failed = Counter[str](), list[Outcome]()
    for outcome in map(play, range(SEEDS)):
        met += outcome.met
        failed += [outcome] if outcome.problems else []
    assert not failed, "\n".join(map(str, failed[:5]))
    rare = {what: met[what] for what in (*FAULTS, *RARE)}
    assert min(rare.values()) >= SEEDS / 20, f"something hardly ever happened: {rare}"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_auditor_finds_a_planted_mistake(mistake: str) -> None:
    first = FINDS[mistake]
    with planted(mistake):
        found = (seed for seed in range(first, first + WITHIN) if play(seed).problems)
        assert list(islice(found, 1)), f"{mistake}: not found in {WITHIN} seeds"
    assert not play(first).problems, "the same seed without the mistake"


def test_a_seed_is_one_schedule() -> None:
    played = [play(seed) for seed in range(40)]
    assert [play(outcome.seed).log for outcome in played] == [outcome.log for outcome in played]
    assert len({digest(outcome) for outcome in played}) == len(played)


@pytest.mark.process
def test_another_process_plays_the_same_schedule() -> None:
    """By the line that a failure shows."""
    outcome = play(47)
    command = str(outcome).splitlines()[1].split()
    assert command[0] == "python"
    told = subprocess.run(
        [sys.executable, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[:-1] == list(outcome.told())


def digest(outcome: Outcome) -> str:
    return hashlib.sha256(repr(outcome.log).encode()).hexdigest()
