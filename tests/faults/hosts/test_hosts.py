"""Hosts with addresses of their own, one of which is cut off in the middle of a run and comes back."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hosts.network import Network, missing
from tests.faults.hosts.partition import Partition

pytestmark = [pytest.mark.environment, pytest.mark.process, pytest.mark.timeout(1500)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: sockets have short names, so this is no place for pytest's long ones."""
    if why := missing():
        pytest.skip(f"hosts of their own are not to be had here: {why}")
    place = Path(tempfile.mkdtemp(prefix="cn-", dir="/tmp"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_host_that_is_cut_off_and_comes_back_loses_and_doubles_nothing(folder: Path) -> None:
    told: list[str] = []
    network = Network()
    Partition(folder, network, lambda *row: told.append(" | ".join(row)), shards=60).prove()
    assert network.carried > network.lost > 0, told
    assert network.refused > 0, told
