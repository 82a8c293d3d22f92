"""One seed, one order of events: actors are greenlets, of which one runs at a time; time passes only between events.

Each event (a request reaches the store, an answer comes back, a pause ends) has a time of its own that the seed
decides, so the same seed gives the same order, whatever the machine does meanwhile.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

START = 1_800_000_000.0
"""When every schedule begins, in seconds since 1970."""


class Killed(BaseException):
    """What a killed process does from there on: nothing. No `except Exception` keeps it alive."""


@dataclass
class Death:
    """The request at which an actor ends, as its process would by SIGKILL."""

    request: int
    after: bool
    """Once the store has applied it, before the answer is seen; else before it is sent."""


class Actor(greenlet):
    """A process of the schedule: a command that somebody gives."""

    def __init__(self, scheduler: "Scheduler", name: str, work: Callable[[], Any]) -> None:
        super().__init__(self._work, scheduler.hub)
        self.scheduler, self.name, self.work = scheduler, name, work
        self.pid = next(scheduler.numbers)
        self.requests = 0
        self.death: Death | None = None
        self.stall: tuple[int, float] | None = None
        """The request before which it stops for so many seconds: swapped out, suspended, collecting garbage."""
        self.pace = 1.0
        """Seconds that its clock counts per second."""
        self.offset = 0.0
        """Seconds by which its clock is wrong."""
        self.faint: tuple[int, float] | None = None
        """The stall of its threads."""
        self.threads: list[Actor] = []
        """What else its process does; ends with it."""
        self.ended = self.killed = self.died = False
        self.result: Any = None
        self.error: BaseException | None = None

    def _work(self) -> None:
        try:
            self.result = self.work()
        except Killed:
            self.killed = self.died = True
            for thread in self.threads:
                thread.killed = True
        except Exception as error:
            self.error = error
        self.ended = True

    def wake(self, *answer: Any) -> None:
        """Begin, or go on with the answer to what it waits for, unless it has ended."""
        if not self.ended:
            self.switch(*answer)

    def kill(self) -> None:
        """End it where it is."""
        self.killed = True
        if self and not self.ended:
            self.throw(Killed)
        self.ended = True

    @property
    def has_stopped(self) -> bool:
        """Whether it has come to the request before which it stops."""
        return self.stall is not None and self.requests >= self.stall[0]

    @property
    def time(self) -> float:
        """Its own clock."""
        return START + self.offset + (self.scheduler.now - START) * self.pace


@dataclass
class Scheduler:
    """The events to come, and the actors."""

    seed: int
    now: float = START
    numbers: Any = field(default_factory=lambda: count(1))
    actors: list[Actor] = field(default_factory=list)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.hub = getcurrent()
        self._events: list[tuple[float, int, Callable[[], Any]]] = []

    def after(self, seconds: float, call: Callable[[], Any]) -> None:
        """Something happens in so many seconds."""
        heappush(self._events, (self.now + seconds, next(self.numbers), call))

    def start(self, name: str, work: Callable[[], Any], delay: float = 0.0) -> Actor:
        """A new actor, which begins in so many seconds."""
        actor = Actor(self, name, work)
        self.actors.append(actor)
        self.after(delay, actor.wake)
        return actor

    def run(self) -> None:
        """Everything that happens, until nothing is left to happen or somebody stops it."""
        while self._events and not self.stopped:
            self.now, _, call = heappop(self._events)
            call()

    def end(self) -> None:
        """Nobody goes on."""
        self._events.clear()
        for actor in self.actors:
            actor.kill()

    def wait(self) -> Any:
        """What the current actor is woken with."""
        return self.hub.switch()

    def sleep(self, seconds: float) -> None:
        """The current actor does nothing for so long, by its own clock."""
        actor = current()
        if actor.killed:
            raise Killed
        self.after(seconds / actor.pace, actor.wake)
        self.wait()


def current() -> Actor:
    """The actor that runs now."""
    actor = getcurrent()
    assert isinstance(actor, Actor), "only actors do anything"
    return actor
