"""Where the shapes and types in signatures are checked: a check costs about as much as what small tensors go through.

In the tests of tensors as such, and once through every stage of every line of work (tests/engine/conftest.py). What
runs these again, with other pictures, stores or failures, calls the same functions with the same shapes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from jaxtyping import config

CHECKED = ("tests/lens/", "tests/models/")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Checks in the tests of these folders."""
    config.update("jaxtyping_disable", not is_checked(item.nodeid))


def is_checked(test: str) -> bool:
    """Whether shapes are checked throughout a test, by its id."""
    return test.startswith(CHECKED)


@contextmanager
def checked() -> Iterator[None]:
    """Checks, whatever the test."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", False)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)
