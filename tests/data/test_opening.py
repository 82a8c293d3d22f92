from pathlib import Path

import pyarrow as pa
import pytest

from clipneuron.data.collections import Pictures, collection
from clipneuron.data.files import LocalFiles, page
from clipneuron.data.folders import FileReader
from clipneuron.data.labels import unlabelled
from clipneuron.data.opening import Collection, Picture, open_collection
from tests.samples.pictures import write


def of(*names: str) -> Collection:
    """A collection of files that need not exist."""
    files = page(list(names), [1] * len(names), [None] * len(names))
    columns = {"image": files["path"], "source": files["path"], "size": files["size"]}
    columns |= {"etag": files["etag"], "offset": pa.nulls(len(names), pa.int64())}
    reader = FileReader(LocalFiles(Path("/")))
    return collection(columns, unlabelled(len(names)), reader, files["size"])


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"nothing at .*/typo: expected a folder .*; check the path"
    ):
        open_collection(tmp_path / "typo")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"a.txt is neither a picture .* nor .parquet"):
        open_collection(tmp_path / "a.txt")


@pytest.mark.parametrize("url", ["https://example.org/pictures"])
def test_other_places_are_not_in_this_version(url: str) -> None:
    with pytest.raises(ValueError, match="not in this version"):
        open_collection(url)


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    write(tmp_path / "my pictures", "a.png")
    assert len(open_collection((tmp_path / "my pictures").as_uri())) == 1


def test_pictures_are_a_sequence() -> None:
    pictures = of("a", "b", "c", "d").pictures
    assert isinstance(pictures, Pictures)
    everything = list(pictures)
    assert everything[1] == Picture(1, "b", None, None, "b", None, 1, None)
    assert pictures[-1] == everything[-1]
    assert pictures[1:3] == tuple(everything[1:3])
    assert pictures[::-2] == tuple(everything[::-2])
    assert pictures[2:2] == ()
    assert everything[2] in pictures
    with pytest.raises(IndexError):
        pictures[4]
