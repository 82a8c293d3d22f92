"""Which tests start processes, which of them share the one Ray cluster, and which process of `make test` runs what.

A test that starts a process has the mark `process`, by itself where a fixture does it; any other that tries fails.
`make quick` leaves these out.
"""

import re
import sys
from collections import Counter
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

STARTING = {"cluster", "moto_server", "radosgw", "page", "small_disk"}
"""Fixtures that start processes."""
ROOT = Path(__file__).resolve().parents[2]
_EVENTS = {
    "subprocess.Popen",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "tests.start",
}
_SHARED = {
    "cluster": r'^from ray\.(cluster_utils|job_submission) import|usefixtures\("cluster"\)',
    "lines": r"^from tests\.engine\.conftest import",
}
"""What several files share, and how those that use it are told."""

_held: list[str] = []
"""The test that runs now, where it must not start a process."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks by fixtures; and what takes longest comes first, so that the processes of `make test` end together."""
    for item in items:
        if STARTING & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.process)
    weights = Counter[str]()
    for item in items:
        weights[share_of(item.nodeid)] += _weight(item)
    # Largest first; the tests of a file stay together, in their order.
    items.sort(key=lambda item: (-weights[share_of(item.nodeid)], item.nodeid.partition("::")[0]))


def _weight(item: pytest.Item) -> int:
    """About how many tenths of a second a test takes."""
    if share_of(item.nodeid) == "cluster":
        return 100
    # The longest have a limit of their own, in seconds.
    if limit := item.get_closest_marker("timeout"):
        return int(limit.args[0])
    return 20 if item.get_closest_marker("slow") or item.get_closest_marker("process") else 1


@cache
def _shared(file: str) -> str | None:
    text = (ROOT / file).read_text()
    return next((each for each, of in _SHARED.items() if re.search(of, text, re.MULTILINE)), None)


def share_of(test: str) -> str:
    """What a test is dealt out with: its file, whose tests share what they set up, or the cluster or lines.

    Read from the file, since the process that deals out has not imported it.
    """
    file = test.partition("::")[0]
    return _shared(file) or file


class Dealing(LoadScopeScheduling):
    """Deals out shares in the order of their first tests. (`--dist loadgroup` groups nothing with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Dealing:
    """For `pytest -n`."""
    config.option.loadscopereorder = False
    return Dealing(config, log)


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
