import json
import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipneuron.data.opening import Columns, ReadError, open_collection
from clipneuron.data.parquet import rows as image_rows
from tests.samples.pictures import png, write_rows

SHARED = Path(__file__).parents[3] / "shared" / "data"


def read_all(path: Path) -> list[bytes | ReadError]:
    collection = open_collection(path)
    return list(collection.read_many(collection.pictures))


def test_rows_are_pictures(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    write_rows(file, 7, file=[f"{n}.jpg" for n in range(7)], label=[n % 2 for n in range(7)])
    collection = open_collection(file)
    assert [picture.image for picture in collection.pictures] == [f"{n}.jpg" for n in range(7)]
    assert collection.pictures[5].label == 1
    assert collection.pictures[5].label_name is None
    assert (collection.pictures[5].source, collection.pictures[5].offset) == ("p.parquet", 5)
    assert read_all(file) == [png(n) for n in range(7)]
    assert [collection.read(picture) for picture in collection.pictures] == [
        png(n) for n in range(7)
    ]


@pytest.mark.parametrize("large", [False, True])
def test_any_rows_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(image_rows, "_LARGE_GROUP", 0)
        monkeypatch.setattr(image_rows, "_BATCH", 2)
    for number in range(2):
        write_rows(tmp_path / f"{number}.parquet", 11, group=4, start=11 * number)
    collection = open_collection(tmp_path)
    order = [13, 0, 1, 21, 4, 3, 3, 12]
    pictures = [collection.pictures[place] for place in order]
    assert list(collection.read_many(pictures)) == [png(place) for place in order]
    assert list(collection.read_many([])) == []


def test_files_of_a_folder_follow_each_other_in_natural_order(tmp_path: Path) -> None:
    write_rows(tmp_path / "part10.parquet", 2, start=4)
    write_rows(tmp_path / "part2.parquet", 2, start=2)
    write_rows(tmp_path / "a/part1.parquet", 2)
    write_rows(tmp_path / ".hidden.parquet", 2)
    assert read_all(tmp_path) == [png(n) for n in range(6)]
    ids = [picture.image for picture in open_collection(tmp_path).pictures]
    assert ids[:3] == ["a/part1.parquet#0", "a/part1.parquet#1", "part2.parquet#0"]


def test_ids_that_do_not_tell_rows_apart_are_replaced(tmp_path: Path) -> None:
    write_rows(tmp_path / "x.parquet", 2, file=["same", "same"])
    assert [p.image for p in open_collection(tmp_path).pictures] == ["x.parquet#0", "x.parquet#1"]
    write_rows(tmp_path / "x.parquet", 2, key=["one", None])
    assert [p.image for p in open_collection(tmp_path).pictures] == ["x.parquet#0", "x.parquet#1"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("name", ["image", "jpg", "bytes"])
def test_the_column_of_pictures_has_many_names(
    tmp_path: Path, name: str, kind: pa.DataType
) -> None:
    table = pa.table({"x": [1, 2], name: pa.array([png(0), png(1)], kind)})
    pq.write_table(table, tmp_path / "p.parquet")
    assert read_all(tmp_path) == [png(0), png(1)]


def test_hugging_face_files(tmp_path: Path) -> None:
    rows = [{"bytes": png(n), "path": f"{n}.png"} for n in range(3)]
    table = pa.table({"image": rows, "label": pa.array([1, -1, 0], pa.int64())})
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "p.parquet")
    collection = open_collection(tmp_path)
    assert [(p.image, p.label, p.label_name) for p in collection.pictures] == [
        ("0.png", 1, "dog"),
        ("1.png", None, None),
        ("2.png", 0, "cat"),
    ]
    assert collection.label_names == {0: "cat", 1: "dog"}
    assert read_all(tmp_path) == [png(0), png(1), png(2)]


@pytest.mark.parametrize("name", ["name", "label_name"])
def test_names_of_classes_beside_their_numbers(tmp_path: Path, name: str) -> None:
    names: dict[str, Any] = {name: ["dog", "cat", "dog"]}
    write_rows(tmp_path / "p.parquet", 3, label=[5, 2, 5], **names)
    assert open_collection(tmp_path).label_names == {2: "cat", 5: "dog"}


def test_labels_that_are_names_are_numbered_over_all_files(tmp_path: Path) -> None:
    write_rows(tmp_path / "1.parquet", 2, label=["dog", "bird"])
    write_rows(tmp_path / "2.parquet", 2, label=["cat", None])
    labels = [(p.label, p.label_name) for p in open_collection(tmp_path).pictures]
    assert labels == [(2, "dog"), (0, "bird"), (1, "cat"), (None, None)]


def test_files_that_name_a_class_differently_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "1.parquet", 1, label=[0], name=["dog"])
    write_rows(tmp_path / "2.parquet", 1, label=[0], name=["cat"])
    with pytest.raises(ValueError, match=r"both 'cat' and 'dog' \(2.parquet#0 and 1.parquet#0\)"):
        open_collection(tmp_path)
    assert open_collection(tmp_path, columns=Columns(name=())).label_names == {}


def test_columns_of_other_names_can_be_said(tmp_path: Path) -> None:
    table = pa.table({"picture": [png(0)], "uid": ["u"], "y": [3], "image": ["not bytes"]})
    pq.write_table(table, tmp_path / "p.parquet")
    columns = Columns(image=("picture",), id=("uid",), label=("y",))
    [picture] = open_collection(tmp_path, columns=columns).pictures
    assert (picture.image, picture.label) == ("u", 3)


def test_files_with_other_columns_do_not_mix(tmp_path: Path) -> None:
    write_rows(tmp_path / "1.parquet", 1, label=[0])
    write_rows(tmp_path / "2.parquet", 1)
    with pytest.raises(ValueError, match=r"2.parquet has other columns than 1.parquet"):
        open_collection(tmp_path)


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(ValueError, match=r"p.parquet is not a readable Parquet file"):
        open_collection(tmp_path / "p.parquet")


def test_files_without_rows_are_an_error(tmp_path: Path) -> None:
    schema = pa.schema([("image", pa.binary())])
    pq.write_table(schema.empty_table(), tmp_path / "p.parquet")
    with pytest.raises(ValueError, match="have no rows"):
        open_collection(tmp_path)


def test_empty_row_groups_and_files_are_passed(tmp_path: Path) -> None:
    schema = pa.schema([("image", pa.binary())])
    with pq.ParquetWriter(tmp_path / "1.parquet", schema) as writer:
        for numbers in ([0, 1], [], [2]):
            writer.write_table(pa.table({"image": pa.array(map(png, numbers), pa.binary())}))
    pq.write_table(schema.empty_table(), tmp_path / "2.parquet")
    assert read_all(tmp_path) == [png(0), png(1), png(2)]


def test_a_row_without_bytes_is_a_value_with_a_reason(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [png(0), None, b""]}), tmp_path / "p.parquet")
    first, *others = read_all(tmp_path)
    assert first == png(0)
    assert [str(error) for error in others] == [
        "empty: p.parquet, row group 0, row 1 holds no bytes",
        "empty: p.parquet, row group 0, row 2 holds no bytes",
    ]


def test_a_damaged_row_group_spoils_only_its_own_rows(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    write_rows(file, 6, group=2)
    column = pq.read_metadata(file).row_group(1).column(0)
    data = bytearray(file.read_bytes())
    data[column.dictionary_page_offset + column.total_compressed_size - 1] ^= 0xFF
    file.write_bytes(data)
    read = read_all(file)
    assert [read[n] for n in (0, 1, 4, 5)] == [png(n) for n in (0, 1, 4, 5)]
    assert all(isinstance(read[n], ReadError) for n in (2, 3))
    assert str(read[2]).startswith("unreadable: p.parquet, row group 1: ")


def test_a_file_that_is_gone_or_broken_since_is_a_value_with_a_reason(tmp_path: Path) -> None:
    for number in range(3):
        write_rows(tmp_path / f"{number}.parquet", 1, start=number)
    collection = open_collection(tmp_path)
    (tmp_path / "0.parquet").unlink()
    (tmp_path / "1.parquet").write_bytes(b"broken")
    gone, broken, good = collection.read_many(collection.pictures)
    assert isinstance(gone, ReadError)
    assert isinstance(broken, ReadError)
    assert (gone.status, broken.status, good) == ("missing", "unreadable", png(2))


def test_a_file_that_was_replaced_is_not_served_from_memory(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    write_rows(file, 2)
    collection = open_collection(file)
    assert collection.read(collection.pictures[1]) == png(1)
    write_rows(tmp_path / "new", 2, start=300)
    os.replace(tmp_path / "new", file)
    assert collection.read(collection.pictures[1]) == png(301)


def test_row_groups_are_read_once_for_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "p.parquet", 12, group=4)
    reads: list[int] = []
    read = pq.ParquetFile.read_row_group

    def counted(self: pq.ParquetFile, group: int, **options: object) -> pa.Table:
        reads.append(group)
        return read(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    collection = open_collection(tmp_path)
    assert [collection.read(picture) for picture in collection.pictures[:8]] == list(
        map(png, range(8))
    )
    assert reads == [0, 1]


def test_a_collection_of_rows_travels(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.parquet", 3)
    other = pickle.loads(pickle.dumps(open_collection(tmp_path)))
    assert other.read(other.pictures[2]) == png(2)
    reader = pickle.loads(pickle.dumps(other.reader))
    assert list(reader.read_many(other.pictures)) == [png(0), png(1), png(2)]


def test_the_digest_of_rows_is_of_what_is_there(tmp_path: Path) -> None:
    for place in ("one", "two"):
        write_rows(tmp_path / place / "p.parquet", 3, label=[0, 1, 2])
    digest = open_collection(tmp_path / "one").digest
    assert open_collection(tmp_path / "two").digest == digest
    write_rows(tmp_path / "two/p.parquet", 3, label=[0, 1, 1])
    assert open_collection(tmp_path / "two").digest != digest


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="there is no folder of real pictures beside the repository"
)
@pytest.mark.parametrize(
    ("name", "count", "classes"),
    [
        ("photos/imagen200", 1000, 200),
        ("photos/cifar10_test2000", 2000, 10),
        ("segmentation/seg_coco128", 126, 40),
    ],
)
def test_real_collections(name: str, count: int, classes: int) -> None:
    collection = open_collection(SHARED / f"{name}.parquet")
    assert len(collection) == count
    assert len(collection.label_names) == classes
    some = [collection.pictures[place] for place in (0, count // 2, -1)]
    for data in collection.read_many(some):
        assert isinstance(data, bytes)
        assert data.startswith(b"\xff\xd8")


@pytest.mark.parametrize("column", ["file", "label_name", "name"])
@pytest.mark.parametrize("kind", [pa.null(), pa.dictionary(pa.int32(), pa.string())])
def test_a_part_whose_column_has_no_value_or_is_a_category_is_one_of_the_same(
    tmp_path: Path, column: str, kind: pa.DataType
) -> None:
    """pandas writes both."""
    said = ["x", "y", "z"]
    write_rows(tmp_path / "0.parquet", 3, label=[0, 1, 2], **{column: said})
    other = pa.array([None] * 3 if kind == pa.null() else ["u", "v", "w"]).cast(kind)
    write_rows(tmp_path / "1.parquet", 3, start=3, label=[3, 4, 5], **{column: other})
    collection = open_collection(tmp_path)
    assert len(collection) == 6
    if column != "file":
        names = {0: "x", 1: "y", 2: "z"} | ({} if kind == pa.null() else {3: "u", 4: "v", 5: "w"})
        assert {number: collection.label_names.get(number) for number in names} == names


def test_a_part_without_rows_is_passed_over(tmp_path: Path) -> None:
    write_rows(tmp_path / "0.parquet", 3)
    pq.write_table(pa.table({"image": pa.nulls(0)}), tmp_path / "1.parquet")
    assert len(open_collection(tmp_path)) == 3
    (tmp_path / "0.parquet").unlink()
    with pytest.raises(ValueError, match="have no rows: a collection needs a picture"):
        open_collection(tmp_path)
