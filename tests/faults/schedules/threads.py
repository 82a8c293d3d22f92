"""Threads of an actor: what beats beside its work, by the same clock, and ends where its process ends."""

from collections.abc import Callable
from typing import Any

from tests.faults.schedules.scheduler import Killed, Scheduler, current


class Event:
    """As much of `threading.Event` as a heartbeat needs."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler, self.happened = scheduler, False
        self._wakes: list[Callable[[], None]] = []

    def set(self) -> None:
        """It has happened: whoever waits goes on."""
        self.happened = True
        for wake in self._wakes:
            self.scheduler.after(0.0, wake)
        self._wakes.clear()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it has happened, within so many seconds of the waiting actor's clock where they are given."""
        actor, waits = current(), [True]

        def wake() -> None:
            if waits:
                waits.clear()
                actor.wake()

        if not self.happened and not actor.killed:
            self._wakes.append(wake)
            if seconds is not None:
                self.scheduler.after(seconds / actor.pace, wake)
            self.scheduler.wait()
        if actor.killed:
            raise Killed
        return self.happened


class Thread:
    """As much of `threading.Thread`: an actor of its own, with its owner's clock."""

    def __init__(
        self, scheduler: Scheduler, target: Callable[..., Any], args: tuple[Any, ...], **_: Any
    ) -> None:
        self.ended = Event(scheduler)
        self._call = lambda: self._run(target, args)
        self.owner = current()

    def start(self) -> None:
        """Begin, beside its owner; it may faint, as drawn for the owner."""
        owner = self.owner
        thread = owner.scheduler.start(f"{owner.name}, {HEART}", self._call)
        thread.pace, thread.offset, thread.stall = owner.pace, owner.offset, owner.faint
        owner.threads.append(thread)

    def join(self) -> None:
        """Until it has ended."""
        self.ended.wait()

    def _run(self, target: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            target(*args)
        finally:
            self.ended.set()


HEART = "heart"
"""How the names of threads end."""
