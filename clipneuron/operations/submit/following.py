"""A job followed to its end, through lost connections."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from clipneuron.engine.jobs import Job, JobServer, LostError
from clipneuron.operations.submit.clock import Clock, pauses
from clipneuron.reports.quantities import duration

_LAST_ATTEMPTS = 4
"""At the end of the log of a job that is over."""


class GoneError(ConnectionError):
    """A cluster answers that does not know the job: the one that ran it is no more."""


class DeadlineError(TimeoutError):
    """The time is over that a job was given."""


@dataclass
class Patience:
    """How long a server may be silent, and until when anything may take."""

    clock: Clock
    silence: float
    """Seconds."""
    deadline: float = float("inf")
    """By the clock."""
    say: Callable[[str], None] = print
    _heard: float = field(init=False, default=0.0)
    _pauses: Iterator[float] = field(init=False)

    def __post_init__(self) -> None:
        self.heard()

    def heard(self) -> None:
        """The server has answered."""
        self._heard, self._pauses = self.clock.now(), pauses()

    def lost(self, error: LostError) -> None:
        """Wait for the next attempt; raises the error where the server has been silent for too long."""
        silent = self.clock.now() - self._heard
        if silent >= self.silence:
            raise LostError(f"{error} (for {duration(silent)} now)") from error
        pause = next(self._pauses)
        self.say(f"{error}; asking again in {duration(pause)}")
        self.sleep(pause)

    def check(self) -> None:
        """Raises DeadlineError when the time is over."""
        if self.clock.now() >= self.deadline:
            raise DeadlineError

    def sleep(self, seconds: float) -> None:
        """Let time pass; raises DeadlineError when it is over."""
        self.clock.sleep(min(seconds, max(0.0, self.deadline - self.clock.now())))
        self.check()


@dataclass
class Following:
    """One job's log, written out as it grows, until the job is over."""

    server: JobServer
    name: str
    write: Callable[[str], None]
    patience: Patience
    _written: int = field(init=False, default=0)
    """Characters of the log: it is read from its beginning on after each loss."""

    def end(self) -> Job:
        """The job once it is over; raises LostError, GoneError and DeadlineError."""
        while True:
            try:
                self._read_log()
                job = self._look()
            except LostError as error:
                self.patience.lost(error)
                continue
            if job.over:
                self._write_rest()
                return job
            self.patience.sleep(1.0)  # the log ended though the job has not

    def _read_log(self) -> None:
        place = 0
        for chunk in self.server.log(self.name):
            self.patience.check()
            if chunk:
                self.patience.heard()
                new = chunk[max(0, self._written - place) :]
                place += len(chunk)
                self._written = max(self._written, place)
                if new:
                    self.write(new)
            elif self._look().over:
                return

    def _write_rest(self) -> None:
        """What a log left out that broke off or was slow; given up soon, since the node that has it may be gone."""
        for pause in islice(pauses(), _LAST_ATTEMPTS):
            try:
                rest = self.server.written(self.name)[self._written :]
            except LostError:
                self.patience.clock.sleep(pause)
                continue
            if rest:
                self.write(rest)
            return

    def _look(self) -> Job:
        job = self.server.find(self.name)
        self.patience.heard()
        if job is None:
            raise GoneError(
                f"the cluster at {self.server.address} does not know {self.name} any more: it was restarted or replaced"
            )
        return job
