"""How many nodes of which pool let a sweep end in so many hours."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from clipneuron.operations.sizing.scale import ScaleModel
from clipneuron.reports.quantities import counted, duration


@dataclass(frozen=True)
class Nodes:
    """What a node of each pool has, as cluster.yaml's have."""

    gpus: int = 1
    """Of a clip node."""
    clip_cores: int = 32
    feeder_cores: int = 64
    start: float = 10.0
    """Minutes until a node is up and has its model."""


@dataclass(frozen=True)
class Proposal:
    """A cluster, and what it does."""

    gpus: int
    clip_nodes: int
    feeders: int
    cores_per_gpu: float
    """That it takes to keep one busy in the pass that needs more."""
    hours: float
    """From the start of the nodes to the end of both passes."""
    shards: int
    written: float
    """Bytes."""


def proposal(
    model: ScaleModel,
    pictures: int,
    hours: float,
    rate: float,
    nodes: Nodes,
    shard_size: int = 0,
    calibrated: int = 0,
) -> Proposal:
    """The smallest cluster that ends in time, if its GPUs are fed.

    `calibrated`: pictures that the means come from, 0 for all. Raises ValueError for more than there are, and where no
    cluster ends in time.
    """
    if calibrated > pictures:
        raise ValueError(
            f"the means are to come from {calibrated:,} pictures, and there are {pictures:,}: calibrate on at most "
            "these"
        )
    start, shards = nodes.start / 60, model.shards(pictures, shard_size)
    left = hours - start
    if left <= 0:
        raise ValueError(
            f"{duration(3600 * hours)} are over before nodes have started, which takes {nodes.start:g} minutes"
        )

    def taken(gpus: int) -> float:
        return model.hours(pictures, gpus, rate, shard_size, calibrated)

    shortest = taken(shards)
    if shortest > left:
        raise ValueError(
            f"a GPU takes {duration(3600 * shortest)} for a single shard, and there are {duration(3600 * left)}: "
            "give it more hours, or smaller shards (--shard-size)"
        )
    gpus = _fewest(taken, left, shards)
    calibrate, effects, commits = model.cores(rate, pictures, shard_size)
    each = max(calibrate, effects + commits)
    clip_nodes = ceil(gpus / nodes.gpus)
    # An actor holds a core of its node; the others read, decode and commit.
    lacking = each * gpus - (clip_nodes * nodes.clip_cores - gpus)
    return Proposal(
        gpus=gpus,
        clip_nodes=clip_nodes,
        feeders=max(0, ceil(lacking / nodes.feeder_cores)),
        cores_per_gpu=each,
        hours=start + taken(gpus),
        shards=shards,
        written=model.written(pictures, shard_size),
    )


def _fewest(taken: Callable[[int], float], hours: float, most: int) -> int:
    """The fewest GPUs that are enough: more of them are never slower, so the place is found by halves."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if taken(middle) <= hours:
            high = middle
        else:
            low = middle + 1
    return low


def in_words(found: Proposal, nodes: Nodes) -> str:
    """The proposal in a line."""
    gpus = counted(found.gpus, "GPUs")
    pools = [f"{counted(found.clip_nodes, 'clip nodes')} ({gpus}, {nodes.clip_cores} cores each)"]
    if found.feeders:
        pools.append(f"{counted(found.feeders, 'feeders')} of {nodes.feeder_cores} cores")
    return f"a head, {' and '.join(pools)}"
