"""An order carried out on a cluster: submitted once however often it is given, followed, and tried again."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from clipneuron.engine.jobs import Job, JobServer, LostError, TakenError
from clipneuron.operations.submit.clock import pauses
from clipneuron.operations.submit.following import DeadlineError, Following, GoneError, Patience
from clipneuron.operations.submit.orders import Order
from clipneuron.reports.quantities import counted, duration

Answer = TypeVar("Answer")

STOPPED, TIMED_OUT, USAGE = 143, 124, 2
"""Exit statuses: as of a process that SIGTERM ended, as of `timeout`, and of a command line that means nothing."""

_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 300.0
"""Seconds between two tries of the whole job."""


@dataclass
class Submission:
    """What happens to one order on one cluster."""

    server: JobServer
    order: Order
    patience: Patience
    say: Callable[[str], None]
    write: Callable[[str], None]
    retries: int = 0
    name: str = field(init=False, default="")
    """Of the try that is followed."""

    def last(self) -> Job | None:
        """The order's last try on this cluster."""
        tries = self._persist(lambda: self.order.tries(self.server.jobs()))
        return tries[-1] if tries else None

    def is_new(self, again: bool = False) -> bool:
        """Whether the order would be submitted now."""
        last = self.last()
        return last is None or (last.over and (again or last.state != "succeeded"))

    def begin(self, again: bool = False) -> bool:
        """Submit the order unless it runs already or has been carried out; whether there is a job to follow."""
        last = self.last()
        if last is None:
            self._submit(1)
        elif not last.over:
            self.name = last.name
            self.say(f"{last.name} is {last.state} already: nothing new is submitted")
        elif last.state == "succeeded" and not again:
            self.name = last.name
            self.say(
                f"{last.name} has succeeded already: nothing is submitted (--again: a new try, which repeats nothing "
                "that is committed)"
            )
            return False
        else:
            number = self.order.number(last.name)
            self.say(f"{last.name} has {_how(last)}: this is try {number + 1}")
            self._submit(number + 1)
        return True

    def finish(self) -> int:
        """Follow the job to its end, and submit it again as often as allowed; the exit status."""
        tries, waits = 0, pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
        try:
            while True:
                status, why = self._followed()
                if status in (0, STOPPED, USAGE) or tries == self.retries:
                    self.say(why)
                    return status
                tries += 1
                self._pause(why, next(waits), self.retries - tries)
                self.begin(again=True)
        except DeadlineError:
            return self._out_of_time()

    def _followed(self) -> tuple[int, str]:
        """Exit status of the try, and what to say of it."""
        try:
            job = Following(self.server, self.name, self.write, self.patience).end()
        except GoneError as gone:
            return 1, f"{gone}; what is committed stays, and the same command submits it again"
        return outcome(job)

    def _pause(self, why: str, seconds: float, left: int) -> None:
        more = f"{counted(left, 'more tries')} after that" if left else "the last one"
        self.say(f"{why}; trying again in {duration(seconds)} ({more})")
        self.patience.sleep(seconds)

    def _submit(self, number: int) -> None:
        self.name = self.order.name(number)
        try:
            self._persist(self._post)
        except TakenError:
            # By this request, whose answer was lost, or by somebody else in this moment.
            self.say(f"{self.name} is submitted already")
        else:
            self.say(f"submitted {self.name}")

    def _post(self) -> None:
        self.server.submit(self.name, self.order.command, self.order.notes, self.order.environment)

    def _persist(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, asked for again while the server is lost: no request does harm when it is repeated."""
        while True:
            self.patience.check()
            try:
                answer = ask()
            except LostError as error:
                self.patience.lost(error)
            else:
                self.patience.heard()
                return answer

    def _out_of_time(self) -> int:
        """The deadline has passed: the job is stopped, where that is still possible."""
        stopped = False
        with suppress(LostError):
            stopped = self.server.stop(self.name)
        what = f"{self.name} was stopped" if stopped else f"{self.name} could not be stopped"
        self.say(f"the deadline is over: {what}; what is committed stays")
        return TIMED_OUT


def outcome(job: Job) -> tuple[int, str]:
    """Exit status of a job that is over, and what to say of it."""
    if job.state == "succeeded":
        return 0, f"{job.name} has succeeded"
    if job.state == "stopped":
        return STOPPED, f"{job.name} was stopped; the same command submits it again"
    return job.status or 1, f"{job.name} has {_how(job)}"


def stopped(server: JobServer, name: str, patience: Patience, seconds: float = 60.0) -> Job:
    """The job after it was asked to stop: over, or as it is when the time has passed; raises LostError."""
    until = patience.clock.now() + seconds
    server.stop(name)
    while True:
        job = server.find(name)
        if job is None:
            raise LostError(f"the cluster at {server.address} does not know {name} any more")
        if job.over or patience.clock.now() >= until:
            return job
        patience.sleep(1.0)


def _how(job: Job) -> str:
    """How a job ended that has not succeeded."""
    if job.state == "stopped":
        return "been stopped"
    if job.status is not None:
        return f"failed with status {job.status}"
    reason = next(iter(job.message.strip().splitlines()), "")
    return "failed" + (f" ({reason})" if reason else "")
