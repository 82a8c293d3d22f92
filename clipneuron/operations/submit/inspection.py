"""What a job finds out on a cluster before another one is paid for; it takes no model and no core.

The store is looked at from every node: what the head writes there, the others must see. Weights are looked for where
the driver would load them: a folder, this machine's cache or the hub. Whether those of an open_clip tag can be fetched
is left to the run; whether open_clip knows the tag is asked of a `NameCheck`, since only its library can say.
"""

import json
import platform
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clipneuron.config.base import Config
from clipneuron.config.cluster import ClusterOptions
from clipneuron.data.opening import check_place
from clipneuron.engine.cluster.connection import connected
from clipneuron.engine.cluster.survey import on_each_node, shortages
from clipneuron.models.places import is_path, look_for
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.opening import open_objects, probe
from clipneuron.store.objects.traces import no_trace_of_a_failure
from clipneuron.version import NUMERICS, __version__

MARK = "clipneuron-check: "
"""How the line begins that holds the findings."""
_HUB = "hf-hub:"
NameCheck = Callable[[str, str | None], None]
"""Raises ValueError for a model and weights whose names nobody knows."""


class Wanted(Config):
    """What a job is going to need."""

    store: str
    model: str
    pretrained: str | None = None
    images: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    cluster: ClusterOptions = ClusterOptions()


class Node(Config):
    """What one node has."""

    name: str
    python: str = ""
    clipneuron: str = ""
    free: int = 0
    """Bytes of the disk on which Ray spills."""
    problem: str = ""
    """Why the store is not to be used from there, or why nothing is known."""


class Findings(Config):
    """What the cluster has."""

    python: str
    clipneuron: str
    store: str = ""
    """Why the store cannot be written, "" where it can, as with the others."""
    weights: str = ""
    pictures: str = ""
    pools: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()


def version() -> str:
    """That of the package and of its numbers."""
    return f"{__version__}, numbers {NUMERICS}"


def python() -> str:
    """As far as it decides whether processes understand each other.

    >>> python().startswith("3.")
    True
    """
    return ".".join(platform.python_version_tuple()[:2])


def inspect(wanted: Wanted, check_names: NameCheck) -> Findings:
    """The findings, from within a job; the store is left as it was."""
    with connected(ClusterOptions(), pools=wanted.pools), _probed(wanted.store) as (key, trouble):
        seen = on_each_node(look, wanted.store, key)
        nodes = tuple(
            Node(name=each.node, problem=each.error, **(each.result or {})) for each in seen
        )
        return Findings(
            python=python(),
            clipneuron=version(),
            store=trouble,
            weights=_weights(wanted, check_names),
            pictures=_pictures(wanted.images),
            pools=tuple(shortages(wanted.pools, wanted.cluster)),
            nodes=nodes,
        )


def look(store: str, key: str) -> dict[str, Any]:
    """What the node has on which this is called; the `key` is of an object in the store, "" where there is none."""
    found = {
        "python": python(),
        "clipneuron": version(),
        "free": shutil.disk_usage(tempfile.gettempdir()).free,
    }
    return found | ({"problem": problem} if key and (problem := _unseen(store, key)) else {})


def reported(log: str) -> Findings | None:
    """The findings in what a job has written, None where there are none."""
    lines = [line.removeprefix(MARK) for line in log.splitlines() if line.startswith(MARK)]
    return Findings(**json.loads(lines[-1])) if lines else None


@contextmanager
def _probed(store: str) -> Iterator[tuple[str, str]]:
    """An object in the store for the time of the block, and why there is none."""
    key = f"probe-{uuid.uuid4().hex}"
    try:
        objects = open_objects(store)
        with no_trace_of_a_failure(objects):
            probe(objects)
            objects.create(key, b"seen")
    except (OSError, ValueError, StoreError) as error:
        yield "", str(error)
        return
    try:
        yield key, ""
    finally:
        objects.delete(key)


def _unseen(store: str, key: str) -> str:
    """Why an object of the store is not to be had here."""
    try:
        if open_objects(store).size(key) is not None:
            return ""
    except (OSError, ValueError, StoreError) as error:
        return str(error)
    return f"{store} is another place there than on the head: give a shared folder, or s3://bucket/prefix"


def _weights(wanted: Wanted, check_names: NameCheck) -> str:
    """Why the model cannot be loaded, as far as that is to be seen without loading it."""
    try:
        if wanted.pretrained and is_path(wanted.pretrained):
            look_for(wanted.pretrained, what="checkpoint", field="recipe.pretrained")
        if wanted.model.startswith(_HUB) or is_path(wanted.model):
            look_for(wanted.model.removeprefix(_HUB), what="model", field="recipe.model")
        elif wanted.model != "demo":
            check_names(wanted.model, wanted.pretrained)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _pictures(places: tuple[str, ...]) -> str:
    """Which of the places of pictures is not there."""
    try:
        for place in places:
            check_place(place)
    except (OSError, ValueError) as error:
        return str(error)
    return ""
