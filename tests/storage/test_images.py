from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipneuron.storage import images, tables
from clipneuron.storage.image_folders import FileReader
from clipneuron.storage.images import Collection, Picture, open_collection, plan
from clipneuron.storage.pictures import Pictures, collection
from tests.storage.pictures import write, write_rows


def of(*names: str) -> Collection:
    """A collection of files that need not exist."""
    count = len(names)
    columns = {
        "image": names,
        "label": [None] * count,
        "label_name": [None] * count,
        "source": names,
        "offset": [None] * count,
    }
    return collection(columns, FileReader(Path("/")), dict.fromkeys(names, 1))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"nothing at .*/typo: expected a folder .*; check the path"
    ):
        open_collection(tmp_path / "typo")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=r"a.txt is neither a picture .* nor .parquet"):
        open_collection(tmp_path / "a.txt")


@pytest.mark.parametrize("url", ["s3://bucket/pictures", "https://example.org/pictures"])
def test_other_places_are_not_in_this_version(url: str) -> None:
    with pytest.raises(ValueError, match="not in this version"):
        open_collection(url)


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    write(tmp_path / "my pictures", "a.png")
    assert len(open_collection((tmp_path / "my pictures").as_uri())) == 1


def test_pictures_come_before_tables(tmp_path: Path) -> None:
    write(tmp_path, "a.png")
    write_rows(tmp_path / "p.parquet", 3)
    assert [picture.image for picture in open_collection(tmp_path).pictures] == ["a.png"]


def test_pictures_are_a_sequence() -> None:
    pictures = of("a", "b", "c", "d").pictures
    assert isinstance(pictures, Pictures)
    everything = list(pictures)
    assert everything[1] == Picture(1, "b", None, None, "b", None)
    assert pictures[-1] == everything[-1]
    assert pictures[1:3] == tuple(everything[1:3])
    assert pictures[::-2] == tuple(everything[::-2])
    assert pictures[2:2] == ()
    assert everything[2] in pictures
    with pytest.raises(IndexError):
        pictures[4]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 60), shard_size=st.integers(1, 20))
def test_a_plan_has_every_picture_once_in_even_shards(count: int, shard_size: int) -> None:
    table = plan(of(*(f"{n}.png" for n in range(count))), shard_size)
    assert table.schema.equals(tables.schema("plan"), check_metadata=True)
    assert table["index"].to_pylist() == list(range(count))
    shards = table["shard"].to_pylist()
    assert shards == [f"{n // shard_size:05d}" for n in range(count)]
    assert shards == sorted(shards)


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(st.text("abc", min_size=1, max_size=3), unique=True, min_size=1, max_size=12),
    known=st.integers(1, 12),
    shard_size=st.integers(1, 4),
)
def test_a_grown_collection_keeps_numbers_and_shards(
    names: list[str], known: int, shard_size: int
) -> None:
    before = plan(of(*sorted(names[:known])), shard_size)
    after = plan(of(*sorted(names)), shard_size, previous=before)
    assert after.slice(0, len(before)).equals(before)
    assert after["index"].to_pylist() == list(range(len(names)))
    assert sorted(after["image"].to_pylist()) == sorted(names)
    old = set(before["shard"].to_pylist())
    assert not old & set(after["shard"].to_pylist()[len(before) :])


def test_a_shrunken_collection_is_refused() -> None:
    before = plan(of("a", "b", "c"), 2)
    with pytest.raises(ValueError, match=r"2 pictures of the previous plan are gone .one is 'b'"):
        plan(of("a", "d"), 2, previous=before)


def test_an_unchanged_collection_has_an_unchanged_plan() -> None:
    before = plan(of("a", "b", "c"), 2)
    assert plan(of("a", "b", "c"), 2, previous=before).equals(before)


@pytest.mark.parametrize("size", [0, -1])
def test_a_shard_holds_something(size: int) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        plan(of("a"), size)


def test_too_many_shards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_SHARD_DIGITS", 1)
    assert plan(of(*map(str, range(10))), 1).num_rows == 10
    with pytest.raises(ValueError, match="11 shards are too many: take a shard_size above 1"):
        plan(of(*map(str, range(11))), 1)


def test_a_plan_can_be_committed_and_filtered() -> None:
    table = plan(of("a", "b", "c"), 2)
    assert isinstance(table, pa.Table)
    assert tables.conform("plan", table).equals(table)
