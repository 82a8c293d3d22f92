"""Who is at work on a run: one holder at a time, on a disk and on S3, whatever dies, is late or gets lost."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clipneuron.store import leases
from clipneuron.store.errors import DamagedError, StoreError
from clipneuron.store.leases import Held, Lease, take
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.objects.opening import open_objects
from clipneuron.store.objects.protocol import Dated, Objects
from tests.samples.processes import run_in_process, run_together


@dataclass(frozen=True)
class Clocked(LocalObjects):
    """A disk whose clock stands still until it is told otherwise."""

    clock: list[float] = field(default_factory=lambda: [1000.0], compare=False)
    written: dict[str, float] = field(default_factory=dict, compare=False)

    def create(self, key: str, data: bytes) -> bool:
        done = super().create(key, data)
        return done and self._stamp(key)

    def replace(self, key: str, old: bytes, new: bytes) -> bool:
        done = super().replace(key, old, new)
        return done and self._stamp(key)

    def dated(self, key: str) -> Dated:
        return Dated(super().dated(key).data, self.written[key])

    def present(self) -> float:
        return self.clock[0]

    def _stamp(self, key: str) -> bool:
        self.written[key] = self.clock[0]
        return True


@pytest.fixture
def objects(place: str) -> Objects:
    return open_objects(place)


@pytest.fixture
def clocked(tmp_path: Path) -> Clocked:
    return Clocked(tmp_path / "store")


def held(found: Held | Lease) -> Held:
    assert isinstance(found, Held), found
    return found


def test_the_second_one_is_told_of_the_first(objects: Objects) -> None:
    first = held(take(objects, "run --store a"))
    second = take(objects, "another")
    assert second == first.lease
    assert leases.holder(objects) == first.lease
    assert f"`run --store a`, process {os.getpid()} on" in first.lease.who
    assert first.lease.since in first.lease.who


def test_what_was_given_back_is_anybodys(objects: Objects) -> None:
    assert leases.holder(objects) is None
    first = held(take(objects, "one"))
    first.give_back()
    assert leases.holder(objects) is None
    second = held(take(objects, "two"))
    assert leases.holder(objects) == second.lease
    first.give_back()
    assert leases.holder(objects) == second.lease
    assert first.beat() is False
    assert second.beat() is True


def test_a_lease_that_has_expired_is_taken_over_for_good(objects: Objects) -> None:
    dead = held(take(objects, "one", seconds=-2.5))  # by the second, the time of S3's answers
    second = held(take(objects, "two"))
    assert dead.beat() is False
    dead.give_back()
    assert leases.holder(objects) == second.lease
    assert take(objects, "three") == second.lease


def test_nobody_takes_over_before_the_time(clocked: Clocked) -> None:
    first = held(take(clocked, "one", seconds=60))
    for now in (1000.0, 1059.0, 1061.0):  # the store's times may be rounded by a second
        clocked.clock[0] = now
        assert take(clocked, "two") == first.lease
    clocked.clock[0] = 1061.5
    assert leases.holder(clocked) is None
    assert held(take(clocked, "two")).lease.command == "two"


def test_a_heartbeat_keeps_a_lease(clocked: Clocked) -> None:
    first = held(take(clocked, "one", seconds=60))
    for now in range(1050, 1500, 50):
        clocked.clock[0] = now
        assert first.beat()
        assert isinstance(take(clocked, "two"), Lease)
    assert leases.holder(clocked) == first.lease
    assert first.lease.beats == 9


def test_a_late_heartbeat_without_a_successor_goes_on(clocked: Clocked) -> None:
    first = held(take(clocked, "one", seconds=60))
    clocked.clock[0] = 2000
    assert first.beat() is True
    assert take(clocked, "two") == first.lease


def test_a_heartbeat_between_look_and_takeover_wins(tmp_path: Path) -> None:
    """The one who takes over has seen an expired lease; right then its holder's heartbeat arrives."""
    late: list[Held] = []

    class Overtaken(Clocked):
        def replace(self, key: str, old: bytes, new: bytes) -> bool:
            if late:
                assert late.pop().beat() is True
            return super().replace(key, old, new)

    objects = Overtaken(tmp_path)
    first = held(take(objects, "one", seconds=60))
    objects.clock[0] = 2000
    late.append(first)
    assert take(objects, "two") == first.lease
    assert first.is_certain


def test_a_heartbeat_whose_answer_was_lost_is_no_loss(tmp_path: Path) -> None:
    lost = [True]

    class Silent(Clocked):
        def replace(self, key: str, old: bytes, new: bytes) -> bool:
            done = super().replace(key, old, new)
            if lost and lost.pop():
                raise StoreError("no answer")
            return done

    objects = Silent(tmp_path)
    first = held(take(objects, "one"))
    with pytest.raises(StoreError):
        first.beat()
    assert first.beat() is True
    assert leases.holder(objects) == first.lease


def test_no_two_heartbeats_have_the_same_bytes(tmp_path: Path) -> None:
    """Who saw one expire, and a later one arrive in between, must find that the lease is another."""
    asked, lost = list[bytes](), [False, True]

    class Silent(Clocked):
        def replace(self, key: str, old: bytes, new: bytes) -> bool:
            done = super().replace(key, old, new)
            asked.extend([new] if done else [])
            if done and lost and lost.pop():
                raise StoreError("no answer")
            return done

    objects = Silent(tmp_path)
    first = held(take(objects, "one"))
    with pytest.raises(StoreError):
        first.beat()
    assert first.beat() is first.beat() is True
    assert len({*asked}) == len(asked) == 3
    assert first.lease.beats == 3


def test_the_holder_is_certain_for_less_time_than_others_wait(clocked: Clocked) -> None:
    first = held(take(clocked, "one", seconds=0.0))
    assert not first.is_certain
    assert take(clocked, "two") == first.lease


def test_of_many_at_once_one_gets_it(objects: Objects) -> None:
    for seconds in (-2.5, 60.0):  # the second time, an expired one is there
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda n, s=seconds: take(objects, str(n), s), range(6)))
        if seconds > 0:
            (one,) = [each for each in found if isinstance(each, Held)]
            assert leases.holder(objects) == one.lease
            assert all(each == one.lease for each in found if isinstance(each, Lease))


def take_and_die(url: str) -> None:
    held(take(open_objects(url), "mortal", seconds=0.2))
    os._exit(9)


def contend(url: str, number: int) -> str:
    found = take(open_objects(url), f"driver {number}")
    return found.lease.command if isinstance(found, Held) else ""


@pytest.mark.process
def test_a_dead_drivers_lease_goes_to_one_of_those_who_wait(tmp_path: Path) -> None:
    url = str(tmp_path)
    assert run_in_process(take_and_die, url) is None
    mortal = leases.holder(open_objects(url))
    assert mortal is not None
    assert mortal.command == "mortal"
    path = tmp_path / leases.KEY
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 2))
    won = list(filter(None, run_together(contend, [(url, number) for number in range(4)])))
    assert len(won) == 1
    assert [each.command for each in [leases.holder(open_objects(url))] if each] == won


def test_a_damaged_lease_is_named(objects: Objects) -> None:
    held(take(objects, "one"))
    data = objects.get(leases.KEY)
    objects.put(leases.KEY, data.replace(b"one", b"two"))
    with pytest.raises(DamagedError, match=r"lease\.json is damaged .* delete it"):
        take(objects, "two")
