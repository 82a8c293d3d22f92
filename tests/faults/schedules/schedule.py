"""One schedule, from its seed alone: who does what when to one run, which faults they meet, what must hold at the end.

python benchmarks/schedules.py --seed 1234      # tells it, request by request
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.faults.schedules.actors import LEASE, Commands
from tests.faults.schedules.audit import Auditor
from tests.faults.schedules.bucket import Bucket
from tests.faults.schedules.network import LATEST, STALE, Network, Weather
from tests.faults.schedules.scheduler import START, Actor, Death, Scheduler
from tests.faults.schedules.simulation import simulated
from tests.faults.schedules.work import STAGE, TABLE, TinyStage

WEATHERS = (
    Weather(),
    Weather(slow=0.2),
    Weather(faults=0.05, slow=0.1),
    Weather(faults=0.15, stale=0.1, slow=0.1),
    Weather(faults=0.3, stale=0.3, slow=0.2),
)
STALL = 200.0
"""Seconds for which an actor may stop, once."""
OVERLAPS = ("allow", "allow", "wait", "forbid", "")
"""What drivers do where another one has the lease; "" for one without leases."""
REPEATS = 8
"""Times that the command is given again, once all is calm, at most."""


@dataclass
class World:
    """A run, who works on it, and the auditor."""

    seed: int
    stage: TinyStage = field(default_factory=lambda: TinyStage(2))
    page: int = 1000

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.seed)
        self.auditor = Auditor(self.scheduler)
        self.bucket = Bucket(self.auditor.watch, self.page)
        self.network = Network(self.scheduler, self.bucket)
        self.stage.tried = lambda shard: self.auditor.processed.update([shard])
        self.commands = Commands(self.scheduler, self.bucket, self.auditor, self.stage)

    @property
    def problems(self) -> list[str]:
        """What must not have been."""
        return self.auditor.problems

    def start(self, name: str, work: Callable[[], Any], delay: float = 0.0) -> Actor:
        """An actor."""
        return self.scheduler.start(name, work, delay)

    def go_on(self) -> None:
        """Until nobody has anything left to do."""
        self.scheduler.run()
        for actor in self.scheduler.actors:
            if actor.error is not None:
                error, actor.error = actor.error, None
                self.auditor.accuse(f"{actor.name} ended with {type(error).__name__}: {error}")

    def alone(self, name: str, work: Callable[[], Any]) -> Any:
        """What an actor's work gives, while nobody else does anything."""
        actor = self.start(name, work)
        self.go_on()
        return actor.result

    def conclude(self) -> None:
        """All is calm: the same command is given until it is done, and the end is looked at."""
        self.network.deserted, self.network.weather = True, Weather()
        for _ in range(REPEATS):
            if self.problems or self.alone("last driver", self.commands.drive):
                break
            self.alone("last retry", self.commands.retry)
        else:
            self.auditor.accuse(f"the same command did not finish in {REPEATS} tries")
        if not self.problems:
            self.commands.found = self.alone("last look", self.commands.find)
        for check in (self._same_tables, self._intact, self._nothing_left, self._nothing_to_do):
            if not self.problems:
                check()
        self.scheduler.end()

    def _same_tables(self) -> None:
        shards = [shard.name for shard in self.stage.shards()]
        seen = self.alone("last reader", self._rows)
        if not self.problems and seen != shards:
            self.auditor.accuse(f"a finished run has the shards {seen}")

    def _rows(self) -> list[str]:
        seen = []
        for shard, rows in self.commands.find().scan(STAGE, TABLE):
            self.auditor.rows("last reader", shard, rows)
            seen.append(shard)
        return seen

    def _intact(self) -> None:
        problems = self.alone("last verify", lambda: self.commands.find().verify())
        if problems:
            self.auditor.accuse(f"verify found: {'; '.join(problems)}")

    def _nothing_left(self) -> None:
        self.alone("last vacuum", lambda: self.commands.vacuum(0, 2))
        named = {key for names in self.auditor.named.values() for key in names}
        left = {key for key in self.bucket.objects if "/data/" in key or "/probe-" in key}
        left |= {key for key in self.bucket.objects if "/attempts/" in key}
        if left != named and not self.problems:
            self.auditor.accuse(f"vacuum left {sorted(left - named)}, took {sorted(named - left)}")

    def _nothing_to_do(self) -> None:
        before = (self.auditor.writes, self.auditor.processed.total())
        report = self.alone("idle driver", self.commands.drive_on)
        if (self.auditor.writes, self.auditor.processed.total()) != before or not report:
            self.auditor.accuse("a finished run did some work, or wrote something")


@dataclass(frozen=True)
class Outcome:
    """What came of a schedule."""

    seed: int
    problems: tuple[str, ...]
    met: Counter[str]
    """How often which fault was met, and "killed", "repaired", "forgotten", "left over", "expired"."""
    log: tuple[tuple[float, str, str, str, str], ...]
    """Of all requests; two plays of one seed have the same."""

    def __str__(self) -> str:
        said = "; ".join(self.problems) or "nothing is wrong"
        return f"seed {self.seed}: {said}\n  python benchmarks/schedules.py --seed {self.seed}"

    def told(self) -> Iterator[str]:
        """Every request, a line each."""
        for time, actor, method, key, fate in self.log:
            name = key.partition("/")[2].partition("/")[2] or key
            yield f"{time - START:9.2f} s  {actor:20} {method:6} {name:58} {fate}".rstrip()


def play(seed: int) -> Outcome:
    """The schedule of this seed."""
    world = _drawn(seed)
    with simulated(world.network):
        world.go_on()
        world.conclude()
    met = world.network.met + world.auditor.met
    met.update(killed=sum(actor.died for actor in world.scheduler.actors))
    return Outcome(seed, tuple(world.problems), met, tuple(world.network.log))


def _drawn(seed: int) -> World:
    """Who takes part, and when."""
    world = World(seed)
    dice = world.scheduler.dice
    world.stage.count = dice.randint(1, 3)
    world.stage.flaky = {
        shard.name: dice.randint(1, 4) for shard in world.stage.shards() if dice.random() < 0.25
    }
    world.bucket.page = dice.choice((2, 4, 1000))
    world.network.weather = dice.choice(WEATHERS)
    commands = world.commands
    for name in ("driver A", "driver B"):
        _add_driver(world, name, dice.uniform(0, 30))
    others = [
        ("vacuum", commands.vacuum, 0.6),
        ("retry", commands.retry, 0.4),
        ("verify", commands.verify, 0.3),
        ("reader", commands.read, 0.4),
        ("status", commands.status, 0.2),
    ]
    for name, work, share in others:
        if dice.random() < share:
            _slow_down(world.start(name, work, dice.uniform(5, 250)))
    if dice.random() < 0.2:
        _add_repair(world, dice.uniform(150, 300))
    return world


def _add_driver(world: World, name: str, delay: float) -> None:
    """A driver that may stop for a while, or be killed; then somebody gives the same command again."""
    dice, commands = world.scheduler.dice, world.commands
    overlap = dice.choice(OVERLAPS)
    drive = partial(commands.drive, overlap) if overlap else commands.drive_on
    driver = world.start(name, drive, delay)
    _slow_down(driver)
    if dice.random() < 0.35:
        driver.faint = (dice.randint(1, 3), dice.uniform(LEASE / 2, 4 * LEASE))
    if dice.random() < 0.35:
        driver.stall = (dice.randint(8, 45), dice.uniform(STALL / 2, STALL))
    if dice.random() < 0.3:
        driver.death = Death(dice.randint(1, 50), after=dice.random() < 0.5)
        if dice.random() < 0.5:
            again = world.start(f"{name} again", drive, delay + dice.uniform(5, 100))
            _slow_down(again)


def _slow_down(actor: Actor) -> None:
    """Its clock is wrong, and may be slow."""
    dice = actor.scheduler.dice
    actor.pace, actor.offset = dice.choice((1.0, 1.0, 0.5)), dice.gauss(0, 1e4)


def _add_repair(world: World, delay: float) -> None:
    """An object is damaged that has been committed for long enough for its commit's last requests to have arrived.

    A driver that stopped in the middle of a commit repeats its last request when it goes on: until it has ended, nobody
    takes a marker away.
    """

    def repair() -> None:
        changed = {key: time for time, key, _ in world.bucket.changes}
        fresh = world.scheduler.now - LATEST - STALE
        stopped = any(actor.has_stopped and not actor.ended for actor in world.scheduler.actors)
        if not stopped and not any(changed[marker] > fresh for marker in world.auditor.named):
            world.commands.repair()

    world.scheduler.after(delay, repair)
    reader = world.commands.read
    dice = world.scheduler.dice
    world.start("driver after repair", world.commands.drive, delay + dice.uniform(1, 30))
    world.start("vacuum after repair", lambda: world.commands.vacuum(10, 400), delay + 40)
    world.start("reader after repair", reader, delay + dice.uniform(30, 600))
