"""Which tests start processes, which of them share the one Ray cluster, and who runs what where.

A test that starts a process has the mark `process`, by itself where a fixture does it; any other that tries fails.
`make quick` leaves these out.
"""

import sys
from collections.abc import Generator
from typing import Any

import pytest

STARTING = {"cluster", "moto_server", "radosgw", "page", "small_disk"}
"""Fixtures that start processes."""
_EVENTS = {
    "subprocess.Popen",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "tests.start",
}

_held: list[str] = []
"""The test that runs now, where it must not start a process."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks by fixtures; and all that shares the cluster runs in one of xdist's processes, before anything else."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & STARTING:
            item.add_marker(pytest.mark.process)
        # Tests of one file share what they set up.
        place = "cluster" if "cluster" in names else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(place))
    items.sort(key=_order)


def _order(item: pytest.Item) -> int:
    """What takes longest comes first, so that the processes end together."""
    if "cluster" in getattr(item, "fixturenames", ()):
        return 0
    return 1 if item.get_closest_marker("process") else 2


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """While a test runs that has no such mark, starting a process is an error."""
    if not item.get_closest_marker("process"):
        _held.append(item.nodeid)
    try:
        return (yield)
    finally:
        _held.clear()


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    if _held and event in _EVENTS:
        raise RuntimeError(f"{_held[0]} starts a process: give it the mark `process`")


sys.addaudithook(_refuse)
