"""The nodes that a cluster has, and those that its autoscaler is asked for."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.labels import PLENTY, entry, labels_of, selectors
from clipneuron.engine.cluster.placement import Placement, in_bytes, placement
from clipneuron.engine.stage import Resources
from clipneuron.reports.consoles import Console


def alive_nodes() -> list[dict[str, float]]:
    """The resources of every node that is alive, and its labels as `key=value` among them."""
    return [node["Resources"] | _labels(node) for node in _alive()]


def free_nodes() -> list[dict[str, float]]:
    """The same of what nobody holds, as the head last heard of it."""
    state = ray._private.state
    free: dict[str, dict[str, float]] = state.available_resources_per_node()  # type: ignore[no-untyped-call]
    return [free.get(node["NodeID"], {}) | _labels(node) for node in _alive()]


def _alive() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _labels(node: dict[str, Any]) -> dict[str, float]:
    return {entry(*pair): PLENTY for pair in (node.get("Labels") or {}).items()}


def placed(
    resources: Resources, options: ClusterOptions, console: Console, again: bool = False
) -> Placement:
    """The placement on the cluster as it is, or as it is after up to `wait` seconds of asking for more nodes.

    Where the actors had space before (`again`), nodes may have been lost since: the placement is the same as long as
    one of them fits, and those that do not are started when nodes have space.
    """
    begun = time.monotonic()
    try:
        while (waited := time.monotonic() - begun) < options.wait:
            nodes = alive_nodes()
            try:
                return _placed_on(nodes, resources, options, console, again)
            except ValueError as error:
                console.print(f"waiting for nodes: {error}", highlight=False)
            known = declared() or ({resources.pool} if waited < options.wait / 2 else set())
            bundles = _bundles(resources, options, known | _offered(nodes))
            labels = labels_of(resources, options)
            request_resources(bundles=bundles, **selectors(labels, len(bundles)))
            time.sleep(min(10.0, options.wait))
    finally:
        # A request outlives its driver, and would keep idle nodes, which cost money.
        if options.wait:
            request_resources(bundles=[])
    return _placed_on(alive_nodes(), resources, options, console, again)


def _placed_on(
    nodes: Sequence[dict[str, float]],
    resources: Resources,
    options: ClusterOptions,
    console: Console,
    again: bool,
) -> Placement:
    try:
        return placement(resources, options, nodes)
    except ValueError:
        if not (again and options.actors):
            raise
    fewer = placement(resources, options.model_copy(update={"actors": 0}), nodes)
    console.print(f"{options.actors} actors do not fit any more: on with {fewer}", highlight=False)
    return replace(fewer, actors=options.actors)


def request_nodes(wanted: Placement | None) -> None:
    """Ask the autoscaler for space for all of the actors, and a core for reading; None: for nothing any more."""
    if wanted is None:
        request_resources(bundles=[])
        return
    need = {"CPU": wanted.cpus, "GPU": wanted.gpus, **wanted.resources, **in_bytes(wanted.memory)}
    actor = {name: amount for name, amount in need.items() if amount}
    bundles = [actor] * wanted.actors + [{"CPU": 1.0}]
    request_resources(bundles=bundles, **selectors(wanted.labels, len(bundles)))


def declared() -> set[str]:
    """The resources that nodes may have which are not started yet; empty where the cluster does not declare any.

    Where nothing is declared, a pool is asked for in the first half of the time: the nodes that offer it may be yet to
    come. If none has by then, the cluster has no pools.
    """
    declared = ray._private.state.state.get_max_resources_from_cluster_config()
    return {name for name, amount in (declared or {}).items() if amount}


def _offered(nodes: Sequence[dict[str, float]]) -> set[str]:
    return {name for node in nodes for name, amount in node.items() if amount}


def _bundles(
    resources: Resources, options: ClusterOptions, offered: Collection[str]
) -> list[dict[str, float]]:
    """What the autoscaler is asked to make space for: the actors, and a core for reading and committing.

    Only what the cluster has or can start is asked for (`offered`): no node ever fulfils a request for anything else.
    """
    actor = {"CPU": options.actor_cpus or 1.0, **in_bytes(resources.memory)}
    if resources.pool in offered:
        actor[resources.pool] = 1.0
    gpus = options.actor_gpus if options.actor_gpus >= 0 else float("GPU" in offered)
    if gpus:
        actor["GPU"] = gpus
    return [actor] * max(1, options.actors) + [{"CPU": 1.0}]
