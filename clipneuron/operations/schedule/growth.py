"""Which run of a store a repeated command goes on with: the one whose collection may only have grown, or a new one."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from clipneuron.store.errors import DamagedError
from clipneuron.store.identity import canonical, differences, without
from clipneuron.store.store import DamagedRun, Run, Store

_OTHER = {"model": "other weights", "numerics": "another version of the computation"}
"""What it means that a field of two identities differs, where its name does not say it."""


class Growth(NamedTuple):
    """How a command goes on."""

    run: Run | None
    """The run to go on with, None where a new one begins."""
    note: str
    """Why a new one begins beside those of the same name; "" where there are none, or none begins."""


def growth(store: Store, name: str, identity: Mapping[str, object]) -> Growth:
    """How a command with this identity goes on with the runs of its name.

    The run with the very same pictures comes first, then the last one that differs in nothing but its pictures. Raises
    DamagedError where the record of one of them is damaged, since it might be the one; StoreError.
    """
    named = re.compile(rf"{re.escape(name)}-[0-9a-f]{{16}}")
    found = [run for run in store.look(f"{name}-") if named.fullmatch(run.name)]
    runs = sorted(map(_intact, found), key=lambda run: run.record.created_at, reverse=True)
    for pick in (_whole, _but_pictures):
        for run in runs:
            if pick(run.identity) == pick(identity):
                return Growth(run, "")
    return Growth(None, _why(runs[0], identity) if runs else "")


def _why(last: Run, identity: Mapping[str, object]) -> str:
    """What sets a new run apart from the last one of its name."""
    lines = differences(without(last.identity, "images"), without(identity, "images"))
    fields = dict.fromkeys(re.split("[.:]", line)[0] for line in lines)
    names = ", ".join(_OTHER.get(field, f"another `recipe.{field}`") for field in fields)
    return f"{names} than {last.name}: a new run begins beside it"


def _whole(identity: Mapping[str, object]) -> str:
    return canonical(identity)


def _but_pictures(identity: Mapping[str, object]) -> str:
    return canonical(without(identity, "images"))


def _intact(run: Run | DamagedRun) -> Run:
    if isinstance(run, DamagedRun):
        raise DamagedError(run.problem)
    return run
