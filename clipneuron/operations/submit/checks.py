"""Before a job is paid for: a small job looks around the cluster, and each thing that is wrong becomes a sentence."""

import uuid
from collections.abc import Iterator
from contextlib import suppress

from clipneuron.engine.jobs import JobServer, LostError, client_ray
from clipneuron.operations.submit.following import DeadlineError, Following, Patience
from clipneuron.operations.submit.inspection import (
    Findings,
    Node,
    Wanted,
    python,
    reported,
    version,
)
from clipneuron.operations.submit.orders import Order
from clipneuron.reports.quantities import size
from clipneuron.version import __version__

LEAST_FREE = 2**30
"""Bytes of a node's disk: Ray spills there what its memory does not hold."""


def problems(server: JobServer, order: Order, wanted: Wanted, patience: Patience) -> list[str]:
    """A sentence for everything that would fail, or be other than here, if the order were given now.

    Raises LostError where the server goes away, GoneError and DeadlineError.
    """
    found = list(_of_ray(server.ray_version(), client_ray()))
    findings, log = _looked(server, order, wanted, patience)
    if findings is None:
        return [*found, _unfit(log, order.python)]
    return [*found, *_of(findings)]


def _looked(
    server: JobServer, order: Order, wanted: Wanted, patience: Patience
) -> tuple[Findings | None, str]:
    """What the small job finds, and all that it wrote."""
    name = f"check-{uuid.uuid4().hex[:12]}"
    command = order.running("check", [wanted.model_dump_json()])
    server.submit(name, command, {**order.notes, "verb": "check"}, order.environment)
    written: list[str] = []
    try:
        Following(server, name, written.append, patience).end()
    except DeadlineError:
        with suppress(LostError):
            server.stop(name)
        raise
    with suppress(LostError):  # it only tidies the list
        server.forget(name)
    return reported("".join(written)), "".join(written)


def _unfit(log: str, interpreter: str) -> str:
    """Why the small job found nothing."""
    last = next((line for line in reversed(log.splitlines()) if line.strip()), "it wrote nothing")
    if "No module named" in last:
        return (
            f"the cluster's {interpreter!r} has no clipneuron with `jobs.check`, or an older one ({last.strip()}): "
            f"install clipneuron {__version__} on every node, or name its interpreter with --python"
        )
    return f"nothing could be found out on the cluster with {interpreter!r}: {last.strip()}"


def _of_ray(theirs: str, ours: str) -> Iterator[str]:
    if theirs != ours:
        yield f"the cluster has Ray {theirs}, this machine {ours}: install one on both"


def _of(found: Findings) -> Iterator[str]:
    """The sentences for findings."""
    if found.python != python():
        yield f"the cluster has Python {found.python}, this machine {python()}: use one on both"
    if found.clipneuron != version():
        yield (
            f"the cluster has clipneuron {found.clipneuron}, this machine {version()}: a run from there may have "
            "another name; install one on both"
        )
    if found.store:
        yield f"the store is out of the cluster's reach: {found.store}"
    if found.pictures:
        yield f"the pictures are out of the cluster's reach: {found.pictures}"
    if found.weights:
        yield f"the weights are out of the cluster's reach: {found.weights}"
    yield from found.pools
    for node in found.nodes:
        yield from _of_node(node, found)


def _of_node(node: Node, found: Findings) -> Iterator[str]:
    if node.problem:
        yield f"node {node.name}: {node.problem}"
    if node.python and (node.python, node.clipneuron) != (found.python, found.clipneuron):
        yield (
            f"node {node.name} has Python {node.python} and clipneuron {node.clipneuron}, the head "
            f"{found.python} and {found.clipneuron}: install one everywhere"
        )
    if node.python and node.free < LEAST_FREE:
        yield f"node {node.name} has {size(node.free)} of disk left: Ray needs some to spill to"
