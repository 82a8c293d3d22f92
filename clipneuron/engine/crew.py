"""The processes that work on stages: started once and kept for the stages that follow."""

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import ray

from clipneuron.engine import ray_steps as steps
from clipneuron.engine.cluster.connection import Placement, alive_nodes, beside, fits
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
    waits behind it, without telling the one from the others.
    """

    def __init__(self, place: Placement) -> None:
        self.place = place
        self.members: list[Member] = []
        self.complete()

    def complete(self) -> None:
        """Start what is missing."""
        while len(self.members) < self.place.actors:
            self.members.append(self._started())

    def replace(self, lost: Member) -> Member | None:
        """A new process for one that died; None where the nodes that are left have no space for it."""
        self.members.remove(lost)
        _kill(lost)
        if not fits(self.place, len(self.members) + 1, alive_nodes()):
            logger.warning("on with %d of %s", len(self.members), self.place)
            return None
        self.members.append(self._started())
        return self.members[-1]

    @property
    def hopeless(self) -> bool:
        """Whether nobody works, and nobody could be started on the nodes that are left."""
        return not any(member.ready for member in self.members) and not fits(
            self.place, 1, alive_nodes()
        )

    def dismiss(self) -> None:
        """End all processes, which gives their cores back."""
        while self.members:
            _kill(self.members.pop())

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
        return Member(ray.remote(steps.WorkerProcess).options(**options).remote())


@dataclass
class Crews:
    """The crew that has the models, and the one for single tasks where there are cores to spare for it."""

    models: Crew | None = None
    tasks: Crew | None = None

    def for_models(self, place: Placement) -> Crew:
        """The crew of this size; one of another size gives way."""
        if self.models is None or self.models.place != place:
            self.dismiss()
            self.models = Crew(place)
        self.models.complete()
        return self.models

    def for_tasks(self, resources: Resources) -> Crew:
        """A crew of single cores beside the models, or that of the models if it has as many cores."""
        standing = self.models.place if self.models else None
        place = beside(standing, resources, alive_nodes())
        if place == standing and self.models:
            self.models.complete()
            return self.models
        if self.tasks is None or self.tasks.place != place:
            self._dismiss_tasks()
            self.tasks = Crew(place)
        self.tasks.complete()
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
