"""Pools by the label of their nodes, beside named resources.

A node's labels stand among its resources as `key=value`, so that what looks for space sees both alike.
"""

from typing import Any

from clipneuron.config.cluster import ClusterOptions
from clipneuron.engine.stage import Resources

PLENTY = 1e9
"""How much of a label a node has: any number of actors may take one."""


def labels_of(resources: Resources, options: ClusterOptions) -> dict[str, str]:
    """What the nodes for a stage are labelled with, {} where labels are not asked for."""
    return {options.pool_label: resources.pool} if options.pool_label and resources.pool else {}


def entry(key: str, value: str) -> str:
    """A label's name among the resources of a node."""
    return f"{key}={value}"


def selectors(labels: dict[str, str], bundles: int) -> dict[str, Any]:
    """What the autoscaler is told of the nodes of so many bundles; the last one, for reading, may be on any."""
    return {"bundle_label_selectors": [labels] * (bundles - 1) + [{}]} if labels else {}
