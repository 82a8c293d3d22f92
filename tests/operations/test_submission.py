"""An order on a cluster: submitted once, followed through losses, tried again, stopped in time."""

import doctest
from dataclasses import dataclass, field

import pytest

from clipneuron.config.recipe import Recipe
from clipneuron.engine.jobs import LostError
from clipneuron.operations.submit import clock as clocks
from clipneuron.operations.submit import orders
from clipneuron.operations.submit.following import Patience
from clipneuron.operations.submit.orders import Order, order
from clipneuron.operations.submit.submission import STOPPED, TIMED_OUT, Submission, stopped
from tests.operations.fakes import Planned, Server, Time

ORDER = Order("run", "0123456789ab", ["--recipe", "demo"], "s3://runs")
FIRST, SECOND, THIRD = (ORDER.name(number) for number in (1, 2, 3))
FAILED = Planned(("no\n",), "failed", 1)
ENDLESS = Planned(("on\n",), "")


@dataclass
class Run:
    """A submission and what it says and writes."""

    server: Server
    retries: int = 0
    deadline: float = float("inf")
    silence: float = 900.0
    said: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        patience = Patience(self.server.clock, self.silence, self.deadline, self.said.append)
        self.submission = Submission(
            self.server, ORDER, patience, self.said.append, self.written.append, self.retries
        )

    def go(self, again: bool = False) -> int:
        return self.submission.finish() if self.submission.begin(again) else 0


def test_an_order_is_submitted_followed_and_reported():
    run = Run(Server(Time(), [Planned(("one\n", "two\n"))]))
    assert run.go() == 0
    assert run.server.submitted == [FIRST]
    assert run.server.commands == ["python -m jobs.sweep --recipe demo"]
    assert "".join(run.written) == "one\ntwo\n"
    assert run.said[-1] == f"{FIRST} has succeeded"


def test_twice_the_same_order_is_one_job():
    server = Server(Time(), [ENDLESS])
    assert Run(server).submission.begin()
    other = Run(server)
    assert other.submission.begin()
    assert server.submitted == [FIRST]
    assert other.submission.name == FIRST
    assert "is running already" in other.said[0]
    server.end(FIRST, "succeeded", 0)
    third = Run(server)
    assert third.go() == 0
    assert (server.submitted, third.written) == ([FIRST], [])
    assert "has succeeded already" in third.said[0]
    assert not third.submission.is_new()
    assert third.submission.is_new(again=True)
    assert third.go(again=True) == 0
    assert server.submitted == [FIRST, SECOND]


@pytest.mark.parametrize(("state", "status"), [("failed", 1), ("stopped", None)])
def test_what_has_not_succeeded_is_tried_again_by_the_same_command(state, status):
    server = Server(Time())
    Run(server).submission.begin()
    server.end(FIRST, state, status)
    run = Run(server)
    assert run.submission.is_new()
    assert run.go() == 0
    assert server.submitted == [FIRST, SECOND]
    assert "this is try 2" in run.said[0]


def test_two_at_the_same_moment_follow_one_job():
    server = Server(Time())

    def rival(name: str) -> None:
        server.on_submit = lambda _: None
        server.submit(name, "", {}, {})

    server.on_submit = rival
    run = Run(server)
    assert run.go() == 0
    assert server.submitted == [FIRST]


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("cut", [[0], [1], [2, 1], [3, 3, 0, 1]])
def test_a_lost_log_is_read_on_without_a_line_twice(cut, quiet):
    lines = ("a\n", "bb\n", "ccc\n", "dd\n")
    server = Server(Time(), [Planned(lines)], cut=cut, quiet=quiet)
    run = Run(server)
    assert run.go() == 0
    assert "".join(run.written) == "".join(lines)
    assert server.submitted == [FIRST]


def test_a_log_that_comes_too_late_is_shown_all_the_same():
    server = Server(Time(), [Planned(("a\n", "b\n"), slow=True)])
    run = Run(server)
    assert run.go() == 0
    assert "".join(run.written) == "a\nb\n"


def test_a_job_that_is_over_is_over_though_its_log_is_gone():
    server = Server(Time(), [Planned(("a\n",), "failed", 7, slow=True)], lost=set(range(5, 100)))
    assert Run(server).go() == 7
    assert server.clock.time < 60


def test_any_request_may_be_lost_or_its_answer():
    undisturbed = Run(Server(Time()))
    undisturbed.go()
    assert undisturbed.server.asked >= 4
    for number in range(undisturbed.server.asked):
        for how in ("lost", "deaf"):
            server = Server(Time(), **{how: {number}})
            run = Run(server)
            assert run.go() == 0
            assert server.submitted == [FIRST]
            assert "".join(run.written) == "hello\n"


def test_a_silent_server_is_asked_with_longer_pauses_and_given_up_in_the_end():
    server = Server(Time(), [ENDLESS], lost=set(range(3, 10_000)))
    run = Run(server, silence=300)
    with pytest.raises(LostError, match="for 5 m"):
        run.go()
    pauses = [seconds for seconds in server.clock.slept if seconds != 5.0]
    assert pauses[:5] == [1, 2, 4, 8, 16]
    assert set(pauses[5:]) == {30}


@pytest.mark.parametrize(
    ("retries", "tries", "status"), [(0, 1, 1), (1, 2, 1), (2, 3, 0), (5, 3, 0)]
)
def test_the_whole_job_is_tried_again(retries, tries, status):
    server = Server(Time(), [FAILED, FAILED])
    run = Run(server, retries)
    assert run.go() == status
    assert server.submitted == [FIRST, SECOND, THIRD][:tries]
    assert server.clock.slept[: tries - 1] == [10.0, 20.0][: tries - 1]


@pytest.mark.parametrize(
    ("plan", "status"),
    [
        (Planned((), "failed", 2), 2),
        (Planned((), "stopped", None), STOPPED),
    ],
)
def test_what_another_try_cannot_mend_is_not_tried_again(plan, status):
    run = Run(Server(Time(), [plan]), retries=3)
    assert run.go() == status
    assert run.server.submitted == [FIRST]


@pytest.mark.parametrize(("status", "seen"), [(1, 1), (137, 137), (None, 1)])
def test_the_exit_status_is_the_jobs(status, seen):
    assert Run(Server(Time(), [Planned((), "failed", status)])).go() == seen


def test_a_job_whose_cluster_died_is_submitted_again():
    server = Server(Time(), [ENDLESS], dies=True)
    run = Run(server, retries=1)
    assert run.go() == 0
    assert server.submitted == [FIRST, FIRST]  # the new cluster knows nothing of the old one
    assert "does not know" in "".join(run.said)


def test_without_retries_the_same_command_submits_it_again():
    server = Server(Time(), [ENDLESS], dies=True)
    run = Run(server)
    assert run.go() == 1
    assert "the same command submits it again" in run.said[-1]
    assert Run(server).go() == 0
    assert server.submitted == [FIRST, FIRST]


def test_a_deadline_stops_the_job():
    server = Server(Time(), [ENDLESS])
    run = Run(server, deadline=60)
    assert run.go() == TIMED_OUT
    assert server.known[FIRST].state == "stopped"
    assert server.clock.time <= 65
    assert f"{FIRST} was stopped" in run.said[-1]


def test_no_try_begins_after_the_deadline_nor_does_a_pause_outlast_it():
    server = Server(Time(), [FAILED] * 10)
    run = Run(server, retries=10, deadline=25)
    assert run.go() == TIMED_OUT
    assert server.submitted == [FIRST, SECOND]
    assert server.clock.time == 25


def test_a_deadline_passes_while_nobody_answers():
    server = Server(Time(), [ENDLESS], lost=set(range(2, 10_000)))
    run = Run(server, deadline=40)
    assert run.go() == TIMED_OUT
    assert "could not be stopped" in run.said[-1]
    assert server.clock.time == 40


def test_a_job_is_stopped_and_looked_at_until_it_is_over():
    server = Server(Time(), [ENDLESS])
    run = Run(server)
    run.submission.begin()
    assert stopped(server, FIRST, run.submission.patience).state == "stopped"
    server.known.clear()
    server.stop = lambda name: False
    with pytest.raises(LostError, match="does not know"):
        stopped(server, FIRST, run.submission.patience)


def demo(**fields: object) -> Recipe:
    return Recipe(**{"name": "demo", "model": "demo", "images": "demo", **fields})


def test_an_order_is_another_one_when_anything_else_is_asked():
    def digest(verb="run", recipe=None, store="s3://runs", **asked):
        return order(verb, recipe or demo(), ["--x"], store=store, asked=asked).digest

    first = digest()
    assert digest(recipe=demo(limit=0)) == first  # a default, spelt out
    others = [
        digest("reproduce"),
        digest(recipe=demo(limit=3)),
        digest(recipe=demo(attack={"each": 3})),
        digest(store="s3://other"),
        digest(until="effects"),
    ]
    assert len({first, *others}) == 1 + len(others)


def test_only_tries_of_the_same_order_count():
    server = Server(Time())
    for name in (FIRST, ORDER.name(10), ORDER.name(2), "run-0123456789ab", "run-ffff-7", "x"):
        server.submit(name, "", {}, {})
    assert [job.name for job in ORDER.tries(server.jobs())] == [FIRST, SECOND, ORDER.name(10)]


def test_examples_are_true():
    for module in (clocks, orders):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed
