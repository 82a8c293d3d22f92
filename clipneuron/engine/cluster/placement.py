"""How many processes of which size have space on which nodes, decided before any of them is started."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.labels import entry, labels_of
from clipneuron.engine.stage import Resources
from clipneuron.reports.quantities import counted

_CORES_PER_ACTOR = 8


@dataclass(frozen=True)
class Placement:
    """How many actors of which size, and whether nodes offer the pool by name."""

    actors: int
    cpus: float
    gpus: float
    resources: dict[str, float]
    memory: float = 0.0
    """GiB per actor, 0 if not declared."""
    labels: dict[str, str] = field(default_factory=dict)
    """That a node must have."""

    def __str__(self) -> str:
        pool = "".join(f", {count:g} {name!r}" for name, count in self.resources.items())
        memory = f", {self.memory:g} GiB of memory" if self.memory else ""
        where = "".join(f", on nodes with {key}={value}" for key, value in self.labels.items())
        size = f"{self.cpus:g} cores and {self.gpus:g} GPUs"
        return f"{self.actors} actors of {size}{pool}{memory}{where}"

    @property
    def need(self) -> dict[str, float]:
        """What one actor takes of a node."""
        labels = dict.fromkeys((entry(*pair) for pair in self.labels.items()), 1.0)
        own = {"CPU": self.cpus, "GPU": self.gpus, **self.resources, **in_bytes(self.memory)}
        return own | labels


def placement(
    resources: Resources, options: ClusterOptions, nodes: Sequence[dict[str, float]]
) -> Placement:
    """The actors for a stage on these nodes (each a mapping of resource to amount), one decided by the other.

    Raises ValueError when they do not fit beside at least one core for reading and committing, which would wait
    for ever without a word.
    """
    labels = labels_of(resources, options)
    labelled = [node for node in nodes if all(entry(*pair) in node for pair in labels.items())]
    offering = [node for node in labelled if resources.pool in node] or (labels and labelled)
    pools = {resources.pool: 1.0} if any(resources.pool in node for node in offering) else {}
    own = offering or nodes  # what nodes of other pools have is theirs
    gpus = sum(node.get("GPU", 0) for node in own)
    per_actor = options.actor_gpus if options.actor_gpus >= 0 else float(gpus > 0)
    cpus = options.actor_cpus or (1.0 if per_actor else _cores_per_actor(own))
    by_gpus = max(1, int(gpus / per_actor + 1e-9)) if per_actor else 0
    one = Placement(1, cpus, per_actor, pools, resources.memory, labels)
    actors = options.actors or by_gpus or _actors_by_cores(own, one.need)
    found = replace(one, actors=actors)
    _check_space(found, nodes, resources.pool)
    return found


def beside(
    standing: Placement | None,
    resources: Resources,
    nodes: Sequence[dict[str, float]],
    free: Sequence[dict[str, float]] | None = None,
    own: int = 0,
) -> Placement:
    """The actors for a stage of single tasks, next to those that stand already, or those if they have as many cores.

    Of what other drivers hold, nothing is taken: `free` is what nobody holds of the nodes, None where that is all, and
    `own` counts the actors for single tasks that stand already. Raises ValueError when not even one fits beside a core
    for reading and committing.
    """
    left = [dict(node) for node in nodes]
    if standing and _take(standing, left) < standing.actors:
        return standing
    one = Placement(1, resources.cpus, 0.0, {}, resources.memory)
    free = left if free is None else free
    most = own + _actors_by_cores(free, one.need)
    found = replace(one, actors=min(most, _actors_by_cores(left, one.need)))
    if standing and found.actors * found.cpus <= standing.actors * standing.cpus:
        return standing
    _check_space(found, left, resources.pool)
    return found


def fits(wanted: Placement, actors: int, nodes: Sequence[dict[str, float]]) -> bool:
    """Whether so many of the actors have space on these nodes, beside a core for reading and committing."""
    left = [dict(node) for node in nodes]
    return _take(replace(wanted, actors=actors), left) == actors and _reads(left)


def _cores_per_actor(nodes: Sequence[dict[str, float]]) -> float:
    """As many cores as still speed up one model, with one of the largest node left for reading."""
    largest = max((node.get("CPU", 0) for node in nodes), default=0)
    return max(1.0, min(_CORES_PER_ACTOR, largest - 1))


def _actors_by_cores(nodes: Sequence[dict[str, float]], need: dict[str, float]) -> int:
    """As many as fit on each node, less one where they would take every core; one even where none fits."""
    fitting = [_fitting(node, need) for node in nodes]
    return max(1, sum(fitting) - (not _spare(nodes, fitting, need["CPU"])))


def _fitting(node: dict[str, float], need: dict[str, float]) -> int:
    """How many actors of this need one node takes."""
    wanted = {name: amount for name, amount in need.items() if amount}
    return min(int(node.get(name, 0) / amount + 1e-9) for name, amount in wanted.items())


def _spare(nodes: Sequence[dict[str, float]], counts: Sequence[int], cpus: float) -> bool:
    """Whether any node has a core left under so many actors each."""
    pairs = zip(nodes, counts, strict=True)
    return any(node.get("CPU", 0) - count * cpus >= 1 for node, count in pairs)


def _take(wanted: Placement, left: Sequence[dict[str, float]]) -> int:
    """Place the actors as a scheduler would, one after another, and take what they need: how many have space."""
    need = wanted.need
    for number in range(wanted.actors):
        node = next(
            (n for n in left if all(n.get(k, 0) >= v - 1e-9 for k, v in need.items())), None
        )
        if node is None:
            return number
        for name, amount in need.items():
            node[name] = node.get(name, 0) - amount
    return wanted.actors


def _check_space(wanted: Placement, nodes: Sequence[dict[str, float]], pool: str) -> None:
    """Place the actors, and see whether a core is left; raises ValueError."""
    left = [dict(node) for node in nodes]
    number = _take(wanted, left)
    if number < wanted.actors:
        raise ValueError(
            f"the cluster has space for {number} of {wanted}: {_inventory(nodes, pool)}. Take fewer or smaller "
            "actors (`cluster.actors`, `cluster.actor_cpus`, `cluster.actor_gpus`), or wait for more nodes "
            "(`cluster.wait`)"
        )
    if not _reads(left):
        raise ValueError(
            f"{wanted} leave no core for reading and committing, and the run would wait for ever: "
            f"{_inventory(nodes, pool)}. Take fewer actors (`cluster.actors`) or smaller ones (`cluster.actor_cpus`)"
        )


def _reads(left: Sequence[dict[str, float]]) -> bool:
    """Whether what is left of the nodes has a core for reading and committing."""
    return any(node.get("CPU", 0) >= 1 for node in left)


def in_bytes(memory: float) -> dict[str, float]:
    """Memory as Ray counts it."""
    return {"memory": memory * 2**30} if memory else {}


def _inventory(nodes: Sequence[dict[str, float]], pool: str) -> str:
    names = ("CPU", "GPU", *filter(None, [pool]), "memory")
    return f"{counted(len(nodes), 'nodes')} with " + "; ".join(
        ", ".join(_amount(node, name) for name in names if node.get(name)) or "nothing"
        for node in nodes[:8]
    )


def _amount(node: dict[str, float], name: str) -> str:
    if name == "memory":
        return f"{node[name] / 2**30:.1f} GiB"
    return f"{node[name]:g} {name}"
