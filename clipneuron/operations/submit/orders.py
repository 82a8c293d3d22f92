"""What is asked of a cluster: the command that its job runs, and the name by which it is known again.

The name is a digest of the verb and of what was asked: the whole recipe, the store and where to stop. A run's own
fingerprint also holds the digest of the weights, which a client may not have; what is committed is found by that, so
two orders for one run repeat nothing either.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clipneuron.config.recipe import Recipe
from clipneuron.engine.jobs import Job
from clipneuron.store.identity import fingerprint
from clipneuron.version import __version__

JOBS = {
    "run": "sweep",
    "reproduce": "reproduce",
    "attack": "attacks",
    "explain": "explanations",
    "segment": "segmentations",
    "concepts": "concepts",
    "atlas": "atlas",
}
"""The module of `jobs` that does what a verb does."""

_DIGITS = 12


@dataclass(frozen=True)
class Order:
    """One job as it can be submitted any number of times."""

    verb: str
    digest: str
    words: Sequence[str]
    store: str
    python: str = "python"
    """The interpreter there."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """What the job runs."""
        return self.running(JOBS[self.verb], self.words)

    def running(self, module: str, words: Sequence[str]) -> str:
        """The command line of a module of `jobs`."""
        return shlex.join([*shlex.split(self.python), "-m", f"jobs.{module}", *words])

    @property
    def notes(self) -> dict[str, str]:
        """What the cluster keeps beside the job."""
        return {"clipneuron": __version__, "verb": self.verb, "store": self.store}

    def name(self, number: int) -> str:
        """The name of one try.

        >>> Order("run", "3f9a0c1b2d4e", [], "s3://runs").name(2)
        'run-3f9a0c1b2d4e-2'
        """
        return f"{self.verb}-{self.digest}-{number}"

    def number(self, name: str) -> int:
        """Which try of this order has this name, 0 where it is none."""
        found = re.fullmatch(rf"{self.verb}-{self.digest}-(\d+)", name)
        return int(found[1]) if found else 0

    def tries(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of the jobs that are tries of this order, in their order."""
        own = [job for job in jobs if self.number(job.name)]
        return sorted(own, key=lambda job: self.number(job.name))


def order(
    verb: str,
    recipe: Recipe,
    words: Sequence[str],
    *,
    store: str,
    asked: Mapping[str, Any],
    python: str = "python",
    environment: Mapping[str, str] | None = None,
) -> Order:
    """The order for a verb with these words; `asked` is what else makes it another one."""
    identity = {
        "verb": verb,
        "recipe": recipe.model_dump(mode="json"),
        "store": store,
        **asked,
    }
    return Order(
        verb=verb,
        digest=fingerprint(identity)[:_DIGITS],
        words=words,
        store=store,
        python=python,
        environment=environment or {},
    )
