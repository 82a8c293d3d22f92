"""The places that a store may be at: the same tests run on each."""

from pathlib import Path

import pytest

from tests.samples.pictures import Folder, Place, Prefix


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.process)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A path, then an s3:// address, where nothing is yet."""
    if request.param == "local":
        return str(tmp_path / "store")
    return f"{request.getfixturevalue('s3_url')}/store"


@pytest.fixture
def folder(place: str) -> Place:
    """An empty folder, on a local disk and then on S3."""
    if place.startswith("s3://"):
        return Prefix(place)
    Path(place).mkdir()
    return Folder(place)
