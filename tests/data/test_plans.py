from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipneuron.data import plans
from clipneuron.data.collections import collection
from clipneuron.data.files import LocalFiles, page
from clipneuron.data.folders import FileReader
from clipneuron.data.labels import Labels, numbered
from clipneuron.data.opening import Collection, open_collection
from clipneuron.data.plans import latest, plan
from clipneuron.tables import registry as tables
from tests.samples.pictures import png, write, write_rows


def of(*names: str, size: int = 1, etags: Sequence[str | None] | None = None) -> Collection:
    """A collection of files that need not exist; their folders, if any, are their classes."""
    etags = [None] * len(names) if etags is None else etags
    files = page(list(names), [size] * len(names), etags)
    classes = [name.split("/")[0] if "/" in name else None for name in names]
    folders = pa.chunked_array([classes], pa.string())
    columns = {"image": files["path"], "source": files["path"], "size": files["size"]}
    columns |= {"etag": files["etag"], "offset": pa.nulls(len(names), pa.int64())}
    reader = FileReader(LocalFiles(Path("/")))
    return collection(columns, Labels(numbered(folders), folders, True), reader, files["size"])


def grown(before: pa.Table, found: Collection, shard_size: int = 2, **options: object) -> pa.Table:
    """The plan with its next part."""
    return pa.concat_tables([before, plan(found, shard_size, before, **options)])


@settings(max_examples=30)
@given(count=st.integers(1, 60), shard_size=st.integers(1, 20))
def test_a_plan_has_every_picture_once_in_even_shards(count: int, shard_size: int) -> None:
    table = plan(of(*(f"{n}.png" for n in range(count))), shard_size)
    assert table.schema.equals(tables.schema("plan"), check_metadata=True)
    assert table["index"].to_pylist() == list(range(count))
    shards = table["shard"].to_pylist()
    assert shards == [f"{n // shard_size:08d}" for n in range(count)]
    assert set(table["part"].to_pylist()) == {0}


@settings(max_examples=50)
@given(
    names=st.lists(st.text("abc", min_size=1, max_size=3), unique=True, min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    shard_size=st.integers(1, 4),
)
def test_parts_hold_what_is_new_under_new_numbers_and_shards(
    names: list[str], cuts: list[int], shard_size: int
) -> None:
    known = min(cuts)
    everything = plan(of(*sorted(names[:known])), shard_size)
    for cut in [*sorted(cuts), len(names)]:
        before = everything
        everything = grown(before, of(*sorted(names[: max(cut, known)])), shard_size)
        part = everything.slice(len(before))
        assert not set(part["shard"].to_pylist()) & set(before["shard"].to_pylist())
        assert set(part["part"].to_pylist()) <= {max(before["part"].to_pylist()) + 1}
    assert everything["index"].to_pylist() == list(range(len(names)))
    assert sorted(everything["image"].to_pylist()) == sorted(names)
    assert everything["shard"].to_pylist() == sorted(everything["shard"].to_pylist())


def test_an_unchanged_collection_adds_nothing() -> None:
    before = plan(of("a", "b", "c"), 2)
    part = plan(of("a", "b", "c"), 2, before)
    assert part.num_rows == 0
    assert part.schema.equals(before.schema)


def test_a_shrunken_collection_is_refused() -> None:
    before = plan(of("a", "b", "c"), 2)
    with pytest.raises(ValueError, match=r"2 pictures of the previous plan are gone \('b', 'c'\)"):
        plan(of("a", "d"), 2, before)


@pytest.mark.parametrize(
    "now",
    [of("a", "b", size=2), of("a", "b", etags=["x", "z"]), of("a", "b", etags=["x", None])],
    ids=["size", "etag", "no etag"],
)
def test_pictures_that_have_changed_are_refused_by_name(now: Collection) -> None:
    before = plan(of("a", "b", etags=["x", "y"]), 2)
    with pytest.raises(ValueError, match=r"changed since the plan .*'b'.*start another run"):
        plan(now, 2, before)


def test_failed_pictures_are_planned_again_when_asked_for() -> None:
    first = plan(of("a", "b", "c"), 2)
    fixed = of("a", "b", "c", "d", etags=["x", None, None, None])
    with pytest.raises(ValueError, match="1 picture has changed"):
        plan(fixed, 2, first)
    part = plan(fixed, 2, first, retry={"a", "c"})
    assert part.select(["index", "image", "shard", "part", "etag"]).to_pylist() == [
        {"index": 0, "image": "a", "shard": "00000002", "part": 1, "etag": "x"},
        {"index": 2, "image": "c", "shard": "00000002", "part": 1, "etag": None},
        {"index": 3, "image": "d", "shard": "00000003", "part": 1, "etag": None},
    ]
    both = pa.concat_tables([first, part])
    assert plan(fixed, 2, both).num_rows == 0
    assert latest(both)["part"].to_pylist() == [1, 0, 1, 1]
    assert plan(fixed, 2, both, retry={"a"})["part"].to_pylist() == [2]


def test_pictures_to_try_again_are_in_the_plan() -> None:
    with pytest.raises(ValueError, match=r"1 picture to try again is not in the plan \('x'\)"):
        plan(of("a"), 2, plan(of("a"), 2), retry={"x", "a"})
    with pytest.raises(ValueError, match="not planned yet"):
        plan(of("a"), 2, retry={"a"})


def labels(planned: pa.Table) -> dict[str, int]:
    return dict(zip(planned["image"].to_pylist(), planned["label"].to_pylist(), strict=True))


def test_classes_keep_their_number_when_others_come_in_between() -> None:
    first = plan(of("bird/1", "dog/1"), 2)
    second = grown(first, of("ant/1", "bird/1", "cat/1", "dog/1", "dog/2"))
    third = grown(second, of("aardvark/1", "ant/1", "bird/1", "cat/1", "dog/1", "dog/2"))
    assert labels(third) == {
        "bird/1": 0,
        "dog/1": 1,
        "ant/1": 2,
        "cat/1": 3,
        "dog/2": 1,
        "aardvark/1": 4,
    }
    names = pa.concat_tables([first, third]).select(["label", "label_name"])
    assert len(names.group_by(["label", "label_name"]).aggregate([])) == 5


def test_pictures_of_another_class_than_planned_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.png", "dog/2.png")
    before = plan(open_collection(tmp_path), 2)
    write(tmp_path, "cat/1.png", "dog/2.png", "a.png", "b.png")  # now folders are mere folders
    with pytest.raises(
        ValueError, match=r"2 pictures have another class than planned .'cat/1.png'"
    ):
        plan(open_collection(tmp_path), 2, before)


def test_a_class_that_has_become_known_is_no_other_class(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png", "cat/3.png")
    before = plan(open_collection(tmp_path), 2)
    write(tmp_path, "cat/4.png", "dog/5.png")
    part = plan(open_collection(tmp_path), 2, before)
    assert labels(part) == {"cat/4.png": 0, "dog/5.png": 1}


def test_stated_numbers_are_kept_and_must_agree(tmp_path: Path) -> None:
    write_rows(tmp_path / "1.parquet", 2, key=["a", "b"], label=[5, 7], name=["dog", "cat"])
    before = plan(open_collection(tmp_path), 2)
    write_rows(tmp_path / "2.parquet", 2, key=["c", "d"], label=[1, 7], name=["owl", "cat"])
    assert labels(grown(before, open_collection(tmp_path))) == {"a": 5, "b": 7, "c": 1, "d": 7}
    write_rows(tmp_path / "2.parquet", 1, key=["c"], label=[7], name=["cow"])
    with pytest.raises(ValueError, match="label 7 is called both 'cat' and 'cow'"):
        plan(open_collection(tmp_path), 2, before)


def test_sizes_are_planned_where_they_are_known(tmp_path: Path) -> None:
    write(tmp_path / "files", "a.png")
    write_rows(tmp_path / "rows.parquet", 1)
    assert plan(open_collection(tmp_path / "files"), 2)["size"].to_pylist() == [len(png())]
    assert plan(open_collection(tmp_path / "rows.parquet"), 2)["size"].to_pylist() == [None]


@pytest.mark.parametrize("size", [0, -1])
def test_a_shard_holds_something(size: int) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        plan(of("a"), size)


def test_too_many_shards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_SHARD_DIGITS", 1)
    assert plan(of(*map(str, range(10))), 1).num_rows == 10
    with pytest.raises(ValueError, match="11 shards are too many: take a shard_size above 1"):
        plan(of(*map(str, range(11))), 1)
