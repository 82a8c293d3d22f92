"""A job server in memory, and a clock that only sleeping moves on."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from clipneuron.engine.jobs import Job, LostError, TakenError

LOST = LostError("no job server answers: gone for a moment")


class Time:
    """A clock."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@dataclass
class Planned:
    """How one job goes: what it writes, and how it ends ("" never does)."""

    lines: tuple[str, ...] = ("hello\n",)
    end: str = "succeeded"
    status: int | None = 0
    slow: bool = False
    """The log is silent until the job has long been over."""


@dataclass
class Server:
    """A cluster's job server; every job goes as the next of the plans says.

    lost: requests, by their number from 0, that nobody answers. deaf: those that are carried out, without an answer.
    cut: after so many chunks a log ends once, by a lost connection or, where quiet, as if the job were over.
    """

    clock: Time
    plans: list[Planned] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    deaf: set[int] = field(default_factory=set)
    cut: list[int] = field(default_factory=list)
    quiet: bool = False
    dies: bool = False
    """The cluster is replaced at the first look at a log."""
    address: str = "http://head:8265"
    known: dict[str, Job] = field(default_factory=dict)
    running: dict[str, Planned] = field(default_factory=dict)
    submitted: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    asked: int = 0
    on_submit: Callable[[str], None] = lambda _: None

    def _ask(self) -> bool:
        """Whether an answer arrives."""
        number, self.asked = self.asked, self.asked + 1
        if number in self.lost:
            raise LOST
        return number not in self.deaf

    def ray_version(self) -> str:
        return "2.60.0"

    def submit(
        self, name: str, command: str, notes: Mapping[str, str], environment: Mapping[str, str]
    ) -> None:
        answered = self._ask()
        self.on_submit(name)
        if name in self.known:
            raise TakenError(name)
        self.submitted.append(name)
        self.commands.append(command)
        self.running[name] = self.plans.pop(0) if self.plans else Planned()
        self.known[name] = Job(name, "running", command=command, notes=notes)
        if not answered:
            raise LOST

    def find(self, name: str) -> Job | None:
        if not self._ask():
            raise LOST
        return self.known.get(name)

    def jobs(self) -> list[Job]:
        self._ask()
        return list(self.known.values())

    def log(self, name: str) -> Iterator[str]:
        self._ask()
        if self.dies:
            self.dies = False
            self.known.clear()
            return
        plan = self.running[name]
        if plan.slow:
            self.end(name, plan.end, plan.status)
            yield ""
        for number, line in enumerate(plan.lines):
            if self.cut and self.cut[0] == number:
                self.cut.pop(0)
                if self.quiet:
                    return
                raise LOST
            yield line
        while not plan.end:
            self.clock.sleep(5.0)
            yield ""
        if self.known[name].state == "running":
            self.end(name, plan.end, plan.status)

    def written(self, name: str) -> str:
        if not self._ask():
            raise LOST
        return "".join(self.running[name].lines)

    def end(self, name: str, state: str, status: int | None) -> None:
        self.known[name] = replace(self.known[name], state=state, status=status)

    def stop(self, name: str) -> bool:
        self._ask()
        was = not self.known[name].over
        self.end(name, "stopped", None)
        return was

    def forget(self, name: str) -> None:
        self.known.pop(name, None)
