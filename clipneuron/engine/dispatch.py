"""Gives the shards of one stage to a crew, and what the crew makes of them to committing tasks."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from typing import Any, Protocol

import ray

from clipneuron.engine import ray_steps as steps
from clipneuron.engine.attempts import Ending
from clipneuron.engine.cluster.metrics import StageMetrics
from clipneuron.engine.cluster.nodes import free_nodes
from clipneuron.engine.crew import LOST, Crew, Item, Member

logger = logging.getLogger(__name__)

_IN_HAND = 2
"""Shards that a process has: one that it works on, and one whose content is brought to its node meanwhile."""
_LOOK = 5.0
"""Seconds after which the nodes are looked at: without any event, and where processes are missing."""
_LOOKS = 3
"""Looks in a row without any event after which a stage may be starving."""

Event = Callable[[], Ending | None]


class CrewLostError(RuntimeError):
    """Every process that could work on a stage has died, and none could be started again."""


class Supply(Protocol):
    """Where the rows of a stage's shards come from."""

    def start(self, fed: Callable[[Any], None], over: Callable[[Exception | None], None]) -> None:
        """Call `fed` with each row or a reference to it, and `over` after the last; from any thread."""
        ...

    def taken(self) -> None:
        """One more row has been given to a process."""
        ...

    def stop(self) -> None:
        """No more rows are wanted."""
        ...


class Unloaded:
    """Rows that are at hand at once; processes load the shards themselves."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows

    def start(self, fed: Callable[[Any], None], over: Callable[[Exception | None], None]) -> None:
        """All rows."""
        for row in self.rows:
            fed(row)
        over(None)

    def taken(self) -> None:
        """Nothing waits for that."""

    def stop(self) -> None:
        """Nothing goes on."""


class Decoded:
    """Rows that a Ray Data stream loads in processes of their own, at most `ahead` of them waiting here.

    Only references come here, never what the shards are made of.
    """

    def __init__(self, data: Any, ahead: int) -> None:
        self.data, self.free, self.stopped = data, Semaphore(ahead), False

    def start(self, fed: Callable[[Any], None], over: Callable[[Exception | None], None]) -> None:
        """Consume the stream in a thread."""
        Thread(target=self._consume, args=(fed, over), daemon=True, name="decoded").start()

    def taken(self) -> None:
        """Another row may come."""
        self.free.release()

    def stop(self) -> None:
        """The thread ends, and the stream with it."""
        self.stopped = True
        self.free.release()

    def _consume(
        self, fed: Callable[[Any], None], over: Callable[[Exception | None], None]
    ) -> None:
        try:
            for bundle in self.data.iter_internal_ref_bundles():
                for reference in bundle.block_refs:
                    self.free.acquire()
                    if self.stopped:
                        return
                    fed(reference)
        except Exception as error:  # it is raised where the endings are waited for
            over(error)
        else:
            over(None)


class Dispatch:
    """One attempt at a stage's shards, by the events of their processes, in one thread."""

    def __init__(
        self, crew: Crew, context: steps.TaskContext, retries: int, metrics: StageMetrics
    ) -> None:
        self.crew, self.context, self.retries = crew, ray.put(context), retries
        self.metrics = metrics
        self.commit = ray.remote(steps.commit).options(num_cpus=0.5, max_retries=retries)
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.waiting: deque[Item] = deque()
        self.committing = self.deaths = 0
        self.more = True
        self.looked = time.monotonic()

    def endings(self, supply: Supply) -> Iterator[Ending]:
        """How shards ended, as they do; one whose processes died too often has no ending.

        Raises what a worker raises while it is built, and CrewLostError when nobody is left.
        """
        for member in self.crew.members:
            self._prepare(member)
        supply.start(self._when_fed, self._when_over)
        try:
            while self.more or self.waiting or self.committing or self._busy():
                self._assign(supply)
                ending = self._next()()
                if ending is not None:
                    yield ending
        finally:
            supply.stop()
            self.crew.ask_no_more()

    def _busy(self) -> bool:
        return any(member.items for member in self.crew.members)

    def _next(self) -> Event:
        quiet = 0
        while True:
            self._reinforce()
            try:
                return self.events.get(timeout=_LOOK)
            except Empty:
                quiet += 1
            if self.crew.hopeless:
                raise CrewLostError(
                    f"no process is left, and the nodes have no space for {self.crew.place}"
                )
            if quiet % _LOOKS == 0 and self._starves():
                self.crew.give_way()
                self.looked = time.monotonic()

    def _starves(self) -> bool:
        """Whether what is to be read or committed waits for a core, and all are held."""
        waits = self.committing or (self.more and not self.waiting)
        return bool(waits) and not any(node.get("CPU", 0) >= 1 for node in free_nodes())

    def _reinforce(self) -> None:
        """A crew that has lost processes gets new ones as soon as a node has space for them: one that has joined."""
        if self.crew.short and time.monotonic() >= self.looked + _LOOK:
            for member in self.crew.complete():
                self._prepare(member)
            self.looked = time.monotonic()

    def _assign(self, supply: Supply) -> None:
        """Give waiting shards to the processes that have the fewest."""
        while self.waiting:
            ready = [member for member in self.crew.members if member.ready]
            member = min(ready, key=lambda one: len(one.items), default=None)
            if member is None or len(member.items) >= _IN_HAND:
                return
            item = self.waiting.popleft()
            if item.fresh:
                supply.taken()
                if isinstance(supply, Decoded):
                    self._waited(item, member)
            item.fresh = False
            member.items.append(item)
            done, row = member.actor.process.options(num_returns=2).remote(item.row, self.context)
            self._watch(done, partial(self._processed, member, item, row))

    def _waited(self, item: Item, member: Member) -> None:
        """Whoever of the two was there first has waited for the other."""
        now = time.monotonic()
        if not member.items and member.since < item.since:
            self.metrics.decode_wait(now - member.since)
        else:
            self.metrics.model_wait(now - item.since)

    def _watch(self, reference: Any, then: Callable[[Future[Any]], Ending | None]) -> None:
        """`then` is called with the future once the reference's value is there, or its error."""
        events = self.events
        reference.future().add_done_callback(lambda future: events.put(partial(then, future)))

    def _when_fed(self, row: Any) -> None:
        self.events.put(partial(self._fed, row))

    def _when_over(self, error: Exception | None) -> None:
        self.events.put(partial(self._over, error))

    def _fed(self, row: Any) -> None:
        self.waiting.append(Item(row))

    def _over(self, error: Exception | None) -> None:
        self.more = False
        if error is not None:
            raise error

    def _prepare(self, member: Member) -> None:
        member.ready = False
        done = member.actor.prepare.remote(self.context)
        self._watch(done, partial(self._prepared, member))

    def _prepared(self, member: Member, future: Future[Any]) -> None:
        if member not in self.crew.members:
            return  # it has given way
        error = future.exception()
        if error is None:
            member.ready, member.since = True, time.monotonic()
        elif isinstance(error, LOST):
            self.deaths += 1
            if self.deaths > self.retries + self.crew.place.actors:
                raise CrewLostError(
                    "the processes in which its worker is built end without a word: they are killed or run out of "
                    "memory"
                )
            self._lose(member)
        else:
            raise error

    def _processed(self, member: Member, item: Item, row: Any, future: Future[Any]) -> None:
        if item not in member.items:
            return  # it went back to the others when its process was lost
        error = future.exception()
        if error is None:
            member.items.remove(item)
            member.since = time.monotonic()
            self._commit(item, row)
        elif isinstance(error, LOST):
            self._lose(member)
        else:
            member.items.remove(item)
            logger.warning("a shard could not be handed over: %s", error)

    def _lose(self, member: Member) -> None:
        """Only the shard that the process worked on is held against it; those that waited are not."""
        items, member.items = list(member.items), deque()
        if items:
            items[0].deaths += 1
        kept = [item for item in items if item.deaths <= self.retries]
        self.waiting.extendleft(reversed(kept))
        for successor in self.crew.replace(member):
            self._prepare(successor)
        if not self.crew.members:
            raise CrewLostError(f"no process is left of {self.crew.place}")

    def _commit(self, item: Item, row: Any) -> None:
        self.committing += 1
        self._watch(self.commit.remote(row, self.context), partial(self._committed, item))

    def _committed(self, item: Item, future: Future[Any]) -> Ending | None:
        self.committing -= 1
        error = future.exception()
        if error is None:
            ending: Ending = future.result()
            return ending
        if not isinstance(error, LOST) and item.deaths < self.retries:
            # The node that held the tables went away before they were committed.
            item.deaths += 1
            self.waiting.appendleft(item)
        else:
            logger.warning("a shard could not be committed: %s", error)
        return None
