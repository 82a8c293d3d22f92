"""Every request of a run as the last of its process: the same command finishes, and nothing is lost or doubled.

In memory for each request of each command, and on a server for some, with processes that really end. After each death
`World.conclude` looks at the end: the command ends well, the tables are those of an undisturbed run, `verify` finds
nothing, `vacuum` leaves only what markers name, and one more call does no work. (Every change of a disk as the last:
see tests/store/test_races.py.)
"""

import io
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from rich.console import Console

from clipneuron.engine.runner import Runner
from clipneuron.store.objects.s3 import S3Objects
from clipneuron.store.store import Store
from tests.faults.light import Light, light_run
from tests.faults.schedules.network import Weather
from tests.faults.schedules.schedule import World
from tests.faults.schedules.scheduler import Actor, Death
from tests.faults.schedules.simulation import simulated
from tests.faults.schedules.work import TinyStage
from tests.faults.worlds import check_same
from tests.samples.processes import run_in_process

SEED = 20261128


def world() -> World:
    """A run of three shards, one of which fails at first; requests take their time, so that actors meet."""
    made = World(SEED, TinyStage(3, flaky={"0001": 1}), page=4)
    made.network.weather = Weather(slow=0.2)
    return made


def one_driver(made: World) -> list[Actor]:
    return [made.start("driver A", made.commands.drive)]


def two_drivers(made: World) -> list[Actor]:
    return [*one_driver(made), made.start("driver B", made.commands.drive, 0.3)]


def vacuum(made: World) -> list[Actor]:
    """After a driver that died in its second commit, and left things behind."""
    made.start("driver A", made.commands.drive).death = Death(23, after=True)
    made.go_on()
    return [made.start("vacuum", partial(made.commands.vacuum, 0, 1))]


def retry(made: World) -> list[Actor]:
    """After a shard has failed as often as it may."""
    made.stage.flaky = {"0001": 3}
    one_driver(made)
    made.go_on()
    return [made.start("retry", made.commands.retry)]


Begin = Callable[[World], list[Actor]]
FEWEST = {one_driver: 35, two_drivers: 25, vacuum: 10, retry: 7}
"""Requests that each of these makes at least."""


def requests(begin: Begin) -> int:
    """Of the first actor, undisturbed."""
    made = world()
    with simulated(made.network):
        actor = begin(made)[0]
        made.go_on()
    return actor.requests


def deaths(count: int) -> Iterator[Death]:
    for number in range(1, count + 1):
        yield from (Death(number, after=False), Death(number, after=True))


@pytest.mark.parametrize("begin", FEWEST, ids=lambda begin: begin.__name__)
def test_any_request_of_a_process_may_be_its_last(begin: Begin) -> None:
    count = requests(begin)
    assert count >= FEWEST[begin]
    for death in deaths(count):
        made = world()
        with simulated(made.network):
            dying = begin(made)[0]
            dying.death = death
            made.go_on()
            assert dying.died, f"{death}: it lives"
            made.conclude()
        assert not made.problems, f"{death}: {made.problems}"


def test_any_request_may_be_the_last_of_two_drivers_at_once() -> None:
    """The machine on which both of them run goes down."""
    for death in deaths(requests(two_drivers)):
        made = world()
        with simulated(made.network):
            dying = two_drivers(made)
            for driver in dying:
                driver.death = death
            made.go_on()
            assert dying[0].died
            made.conclude()
        assert not made.problems, f"{death}: {made.problems}"


def test_a_death_is_told_from_a_life() -> None:
    """A run that lost what was committed would be told: an object goes, and nobody knows."""
    made = world()
    with simulated(made.network):
        one_driver(made)
        made.go_on()
        key = next(key for key in made.bucket.objects if "/data/" in key)
        made.bucket.objects.pop(key)
        made.conclude()
    assert made.problems


def work_and_die(url: str, last: int, after: bool) -> None:
    """Ends this process without a word, right before or right after it has asked the server so many times."""
    ask, asked = S3Objects._ask, [0]

    def counted(self: S3Objects, *arguments: Any, **options: Any) -> Any:
        number = asked[0] = asked[0] + 1
        if number == last and not after:
            os._exit(9)
        try:
            return ask(self, *arguments, **options)
        finally:  # an answer may be an error, such as that there is no object
            if number == last:
                os._exit(9)

    S3Objects._ask = counted  # type: ignore[method-assign]
    run = Store(url).open_run("light", {})
    Runner(console=Console(file=io.StringIO())).run_stage(Light(2), run)


def die_at_some(url: str, places: tuple[int, ...]) -> list[int]:
    """The exit status of a process for each of the places at which it was to die; each on a store of its own."""
    statuses = []
    for last in places:
        child = os.fork()
        if not child:
            work_and_die(f"{url}/{last}", last, after=last % 2 == 0)
            os._exit(0)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return statuses


@pytest.mark.slow
def test_a_process_that_ends_at_a_request_to_a_server_is_gone_on_from(
    s3_url: str, tmp_path: Any
) -> None:
    places = (11, 20, 27, 80)
    statuses = run_in_process(die_at_some, s3_url, places)
    assert statuses == [9, 9, 9, 0], "the last is never reached"
    undisturbed = light_run(tmp_path, Light(2))
    for place in places:
        run = Store(f"{s3_url}/{place}").open_run("light", {})
        Runner(console=Console(file=io.StringIO())).run_stage(Light(2), run)
        check_same(run, undisturbed)
        run.remove(run.garbage(older_than=0))
        assert len(list(run.objects.list("data/"))) == len(run.committed("light")) == 2
        assert list(run.objects.list("attempts/")) == []
