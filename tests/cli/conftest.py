"""A user's folder, shared by the tests of a module."""

from pathlib import Path

import pytest

from tests.cli.user import settle


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, pictures and texts, as a user might have them."""
    return settle(tmp_path_factory.mktemp("user") / "here")
