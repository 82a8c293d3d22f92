"""A look around a cluster: something small done on every node, and whether models have space there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.cluster.nodes import alive_nodes, declared
from clipneuron.engine.cluster.placement import placement
from clipneuron.engine.stage import Resources

MOST = 32
"""Nodes that are looked at: those of a pool are alike."""
_SECONDS = 60.0


@dataclass(frozen=True)
class Seen:
    """What came of one node."""

    node: str
    result: Any = None
    error: str = ""
    """Why there is no result."""


def on_each_node(function: Callable[..., Any], *values: Any) -> list[Seen]:
    """The function's result on each of the nodes that are alive; it must be importable there."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    alive = [node for node in nodes if node["Alive"]][:MOST]
    calls = [_called(function, node["NodeID"], values) for node in alive]
    ray.wait(calls, num_returns=len(calls), timeout=_SECONDS)
    return [_seen(node, call) for node, call in zip(alive, calls, strict=True)]


def shortages(pools: Sequence[str], options: ClusterOptions) -> list[str]:
    """A sentence for every pool whose models have no space on the nodes, and never will where these may still come."""
    return [problem for pool in pools if (problem := _shortage(pool, options))]


def _shortage(pool: str, options: ClusterOptions) -> str:
    nodes = alive_nodes()
    try:
        placement(Resources(pool=pool), options, nodes)
    except ValueError as error:
        return "" if options.wait and pool in declared() else f"pool {pool}: {error}"
    return ""


def _called(function: Callable[..., Any], node: str, values: Sequence[Any]) -> Any:
    """Without a core, so that it runs on a head that offers none, and beside other work."""
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": where}
    return ray.remote(function).options(**options).remote(*values)


def _seen(node: dict[str, Any], call: Any) -> Seen:
    name = str(node["NodeManagerHostname"])
    try:
        return Seen(name, ray.get(call, timeout=0.1))
    except ray.exceptions.GetTimeoutError:
        return Seen(name, error=f"no answer within {_SECONDS:g} s")
    except Exception as error:  # whatever its environment lacks
        return Seen(name, error=str(error).strip().splitlines()[-1])
