"""Why two runs differ, as far as their own records say: identity, recipe, version."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from clipneuron.store.identity import changed
from clipneuron.store.store import Run


class Reason(NamedTuple):
    """A field that two runs differ in; `where` it stands: identity, recipe or version."""

    where: str
    field: str
    a: str
    b: str


def reasons(a: Run, b: Run) -> list[Reason]:
    """Every field of the two runs' records that differs.

    The identity holds digests and decides which run it is; the recipe of the last command says in words what was asked,
    also what the identity does not hold since it changes no number of the sweep (words, device).
    """
    compared: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("identity", a.identity, b.identity),
        ("recipe", _recipe(a), _recipe(b)),
        ("version", _version(a), _version(b)),
    )
    return [
        Reason(where, *difference)
        for where, one, other in compared
        for difference in changed(one, other)
    ]


def _recipe(run: Run) -> Mapping[str, Any]:
    order = run.announced()
    details = order.details if order and order.details else run.record.details
    found: Mapping[str, Any] = details.get("recipe") or {}
    return found


def _version(run: Run) -> Mapping[str, Any]:
    return {name: value for name, value in run.record.details.items() if name == "clipneuron"}
