"""Two commands on one run: the second works beside the first, waits for it, or leaves the work to it."""

import logging
import threading
from pathlib import Path

import pytest

from clipneuron.config.overlap import BusyError
from clipneuron.operations.schedule.overlap import working_on
from clipneuron.store import leases
from clipneuron.store.errors import PlaceError, StoreError
from clipneuron.store.leases import Held
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.store import Run, Store


@pytest.fixture
def run(place: str) -> Run:
    return Store(place).open_run("tiny", {})


@pytest.fixture
def here(tmp_path: Path) -> Run:
    return Store(tmp_path / "here").open_run("tiny", {})


def silent(text: str) -> None:
    raise AssertionError(f"there was nothing to say: {text}")


def test_forbidden_the_second_one_says_who_works_and_leaves(run: Run) -> None:
    with working_on(run, "forbid", "run --first", silent):
        first = leases.holder(run.objects)
        assert first is not None
        with (
            pytest.raises(BusyError) as busy,
            working_on(run, "forbid", "run --second", silent),
        ):
            raise AssertionError("it should not work")
        assert f"at work on {run.name}: `run --first`" in str(busy.value)
        assert first.since in str(busy.value)
        assert leases.holder(run.objects) == first
    assert leases.holder(run.objects) is None
    with working_on(run, "forbid", "run --third", silent):
        pass


def test_waiting_the_second_one_begins_when_the_first_has_ended(run: Run) -> None:
    order, said = list[str](), list[str]()
    begun, told = threading.Event(), threading.Event()

    def first() -> None:
        with working_on(run, "forbid", "first", silent, seconds=1.2):
            begun.set()
            assert told.wait(30)
            order.append("first")

    def say(text: str) -> None:
        said.append(text)
        told.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(30)
    with working_on(run, "wait", "second", say):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    (text,) = said
    assert text.startswith(f"another command is at work on {run.name}: `first`, process ")
    assert text.endswith("; this one waits for it")


def test_allowed_both_work_and_the_first_keeps_the_lease(here: Run) -> None:
    with working_on(here, "allow", "first", silent):
        with working_on(here, "allow", "second", silent):
            holder = leases.holder(here.objects)
        assert holder is not None
        assert holder.command == "first"
        assert leases.holder(here.objects) == holder
    assert leases.holder(here.objects) is None


def test_work_that_fails_gives_the_lease_back(here: Run) -> None:
    with pytest.raises(ZeroDivisionError), working_on(here, "forbid", "first", silent):
        raise ZeroDivisionError
    assert leases.holder(here.objects) is None


def test_while_it_works_the_lease_is_renewed(here: Run) -> None:
    with working_on(here, "forbid", "first", silent, seconds=0.2):
        threading.Event().wait(0.5)
        holder = leases.holder(here.objects)
        assert holder is not None
        assert holder.beats >= 3
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]


def test_a_lease_that_was_taken_over_stops_nobody(
    here: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), working_on(here, "forbid", "first", silent, seconds=0.2):
        here.objects.delete(leases.KEY)  # as if it had slept until another one took it over
        other = leases.take(here.objects, "other")
        assert isinstance(other, Held)
        threading.Event().wait(0.2)
    assert leases.holder(here.objects) == other.lease
    assert [record.levelname for record in caplog.records] == ["WARNING"]


class Broken(LocalObjects):
    """A disk that went away once the lease was there."""

    def replace(self, key: str, old: bytes, new: bytes) -> bool:
        raise PlaceError("the disk is gone")


class Unleased(LocalObjects):
    """A store that cannot hold leases."""

    def create(self, key: str, data: bytes) -> bool:
        if key == leases.KEY:
            raise StoreError("no leases here")
        return super().create(key, data)


def on(kind: type[LocalObjects], run: Run) -> Run:
    return Run(kind(Path(run.url)), run.record)


def test_heartbeats_that_fail_for_long_are_said_once(
    here: Run, caplog: pytest.LogCaptureFixture
) -> None:
    broken = on(Broken, here)
    with (
        caplog.at_level(logging.WARNING),
        working_on(broken, "forbid", "first", silent, seconds=0.1),
    ):
        threading.Event().wait(0.4)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert all("the disk is gone" in text for text in told)


def test_without_leases_one_works_where_overlap_is_allowed(here: Run) -> None:
    unleased, worked = on(Unleased, here), []
    with working_on(unleased, "allow", "first", silent):
        worked.append("allow")
    for overlap in ("forbid", "wait"):
        with (
            pytest.raises(StoreError, match="no leases here"),
            working_on(unleased, overlap, "first", silent),
        ):
            worked.append(overlap)
    assert worked == ["allow"]
