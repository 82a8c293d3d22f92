"""`make quick` leaves out what starts processes, and can tell."""

import os
import subprocess
import sys

import pytest

from tests.samples.marks import share_of
from tests.samples.processes import run_in_process


def test_a_test_that_is_not_marked_can_start_no_process() -> None:
    for start in (
        lambda: subprocess.run([sys.executable, "--version"], check=True),
        lambda: os.system("true"),
        lambda: run_in_process(os.getpid),
    ):
        with pytest.raises(RuntimeError, match="give it the mark `process`"):
            start()


@pytest.mark.process
def test_one_that_is_marked_can() -> None:
    assert run_in_process(os.getpid) != os.getpid()


def test_what_fixtures_start_is_known_and_the_cluster_is_started_by_one_process(
    request: pytest.FixtureRequest,
) -> None:
    """Whatever part of the suite is run: of its tests, those with such a fixture."""
    for item in request.session.items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if {"cluster", "s3_url"} & fixtures:
            assert item.get_closest_marker("process"), item.nodeid
        if "cluster" in fixtures:
            assert share_of(item.nodeid) == "cluster", item.nodeid
