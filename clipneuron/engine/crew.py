"""The processes that work on stages: started once and kept for the stages that follow."""

import logging
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import ray

from clipneuron.engine import ray_steps as steps
from clipneuron.engine.cluster.nodes import alive_nodes, free_nodes, request_nodes
from clipneuron.engine.cluster.placement import Placement, beside, fits
from clipneuron.engine.stage import Resources

logger = logging.getLogger(__name__)

LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
)
"""What Ray says when a process ended without a word."""


@dataclass(eq=False)
class Item:
    """A shard on its way: its row, loaded or not."""

    row: Any
    deaths: int = 0
    """Processes that ended while they worked on it."""
    fresh: bool = True
    """Not given to any process yet."""
    since: float = field(default_factory=time.monotonic)
    """When it was there."""


@dataclass(eq=False)
class Member:
    """A process, and the shards it was given: it is in the first of them, and the others wait."""

    actor: Any
    ready: bool = False
    items: deque[Item] = field(default_factory=deque)
    since: float = 0.0
    """When it last had nothing left to do, or was ready for its first shard."""


class Crew:
    """As many processes of one size as were placed; a process that dies is replaced while there is space for it.

    Ray itself restarts and repeats nothing here: it would repeat a shard that kills its process, and every shard that
    waits behind it, without telling the one from the others. On a cluster that `grows`, nodes are asked for while
    processes are missing.
    """

    def __init__(self, place: Placement, grows: bool = False) -> None:
        self.place, self.grows = place, grows
        self.most = place.actors
        """Processes that are wanted now: fewer, once it has given way."""
        self.members: list[Member] = []
        self._asking = False
        self.complete()

    @property
    def short(self) -> bool:
        """Whether processes were lost for which the nodes had no space."""
        return len(self.members) < self.most

    def restore(self) -> None:
        """Start what is missing, and of what has given way as many as have space beside what others hold."""
        free = free_nodes() if self.most < self.place.actors else []
        while self.most < self.place.actors and fits(
            self.place, self.most + 1 - len(self.members), free
        ):
            self.most += 1
        self.complete()

    def complete(self) -> list[Member]:
        """The processes that were started now: those that were missing, as far as the nodes have space."""
        started: list[Member] = []
        nodes = alive_nodes() if self.short else []
        while self.short and fits(self.place, len(self.members) + 1, nodes):
            started.append(self._started())
            self.members.append(started[-1])
        self._ask(self.grows and self.short)
        return started

    def replace(self, lost: Member) -> list[Member]:
        """New processes for one that died, and for those that died before; [] where no node has space."""
        self.members.remove(lost)
        _kill(lost)
        started = self.complete()
        if self.short:
            logger.warning("on with %d of %s", len(self.members), self.place)
        return started

    @property
    def hopeless(self) -> bool:
        """Whether nobody works, and nobody could be started on the nodes that are left."""
        return not any(member.ready for member in self.members) and not fits(
            self.place, 1, alive_nodes()
        )

    def give_way(self) -> None:
        """Do with one process less that has nothing to do, and without those that wait for a core themselves.

        Processes that hold every core, those of another driver among them, would else wait for ever for what is to be
        read and committed for them.
        """
        idle = [member for member in self.members if not member.items]
        waiting = [member for member in idle if not member.ready]
        if len(waiting) == len(self.members):
            waiting = waiting[1:]
        ready = [member for member in idle if member.ready]
        for member in [*waiting, *ready[:1]]:
            self.members.remove(member)
            _kill(member)
            self.most = max(1, len(self.members))
            logger.warning("no core is free: on with %d of %s", self.most, self.place)

    def dismiss(self) -> None:
        """End all processes, which gives their cores back."""
        self.ask_no_more()
        while self.members:
            _kill(self.members.pop())

    def ask_no_more(self) -> None:
        """A request for nodes would outlive its driver, and keep idle nodes, which cost money."""
        self._ask(False)

    def _ask(self, missing: bool) -> None:
        if missing != self._asking and ray.is_initialized():
            request_nodes(self.place if missing else None)
            self._asking = missing

    def _started(self) -> Member:
        place = self.place
        options: dict[str, Any] = {
            "num_cpus": place.cpus,
            "num_gpus": place.gpus,
            "memory": place.memory * 2**30 or None,
            "resources": place.resources,
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": "SPREAD",
        }
        if place.labels:
            options["label_selector"] = place.labels
        return Member(ray.remote(steps.WorkerProcess).options(**options).remote(place.gpus))


@dataclass
class Crews:
    """The crew that has the models, and the one for single tasks where there are cores to spare for it."""

    grows: bool = False
    """Whether nodes are asked for where processes of models are missing."""
    models: Crew | None = None
    tasks: Crew | None = None

    def for_models(self, place: Placement) -> Crew:
        """The crew of this size; one of another size gives way."""
        if self.models is None or self.models.place != place:
            self.dismiss()
            self.models = Crew(place, self.grows)
        self.models.restore()
        return self.models

    def for_tasks(self, resources: Resources) -> Crew:
        """A crew of single cores beside the models, or that of the models if it has as many cores."""
        standing = self.models.place if self.models else None
        own = self.tasks.most if self.tasks else 0
        place = beside(standing, resources, alive_nodes(), free_nodes(), own)
        if place == standing and self.models:
            self.models.restore()
            return self.models
        if self.tasks is None or replace(self.tasks.place, actors=place.actors) != place:
            self._dismiss_tasks()
            self.tasks = Crew(place)
        self.tasks.place, self.tasks.most = place, min(self.tasks.most, place.actors)
        self.tasks.restore()
        return self.tasks

    def dismiss(self) -> None:
        """End all processes."""
        self._dismiss_tasks()
        if self.models:
            self.models.dismiss()
        self.models = None

    def _dismiss_tasks(self) -> None:
        if self.tasks:
            self.tasks.dismiss()
        self.tasks = None


def _kill(member: Member) -> None:
    if ray.is_initialized():  # else they have ended with the cluster
        ray.kill(member.actor)
