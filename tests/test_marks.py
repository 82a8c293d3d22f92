"""`make quick` leaves out what starts processes, and can tell."""

import os
import subprocess
import sys

import pytest

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


def test_a_fixture_that_starts_processes_is_a_mark(request: pytest.FixtureRequest) -> None:
    """Whatever part of the suite is run: of its tests, those with such a fixture have the mark."""
    for item in request.session.items:
        if {"cluster", "s3_url"} & set(getattr(item, "fixturenames", ())):
            assert item.get_closest_marker("process"), item.nodeid
