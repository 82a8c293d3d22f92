"""Classes are found in whatever type and place they are written; what is none is named."""

import doctest
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipneuron.data import labels as numbering
from clipneuron.data.columns import Columns
from clipneuron.data.label_values import LARGEST, cast, stated_in
from clipneuron.data.opening import Collection, open_collection
from tests.samples.pictures import Place, fill, png, rows, write, write_rows

NUMBERS = [1, None, 0]
IGNORED = Columns(label=())


def found(collection: Collection) -> list[tuple[int | None, str | None]]:
    return [(picture.label, picture.label_name) for picture in collection.pictures]


def test_names_are_ordered_as_numbers_where_all_are() -> None:
    assert doctest.testmod(numbering).failed == 0
    assert numbering.ordered(["10", "9", "007", "7"]) == ["007", "7", "9", "10"]
    assert numbering.ordered(["10", "9", "a"]) == ["10", "9", "a"]


def test_folders_that_are_numbers_are_numbered_by_them(tmp_path: Path) -> None:
    write(tmp_path, *(f"{number}/1.png" for number in (0, 1, 2, 10, 11)))
    assert open_collection(tmp_path).label_names == {0: "0", 1: "1", 2: "2", 3: "10", 4: "11"}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, float("nan"), 0.0]),
        pa.array([1.0, None, 0.0], pa.float32()),
        pa.array(NUMBERS, pa.uint64()),
        pa.array(NUMBERS, pa.int8()),
        pa.array([1, -1, 0]),
        pa.array([True, None, False]),
        pa.array([Decimal(1), None, Decimal(0)], pa.decimal128(5, 2)),
        pa.array(NUMBERS, pa.int64()).dictionary_encode(),
    ],
)
def test_numbers_of_any_type_are_cast(tmp_path: Path, column: pa.Array) -> None:
    write_rows(tmp_path / "p.parquet", 3, label=column)
    collection = open_collection(tmp_path)
    assert found(collection) == [(1, None), (None, None), (0, None)]
    assert collection.classes == "2 classes (unknown for 1)"


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
)
def test_names_of_any_type_are_cast(tmp_path: Path, kind: pa.DataType) -> None:
    write_rows(tmp_path / "p.parquet", 3, label=pa.array(["dog", None, "cat"]).cast(kind))
    assert found(open_collection(tmp_path)) == [(1, "dog"), (None, None), (0, "cat")]


def test_names_beside_numbers_may_be_categories_and_bytes_may_be_names(tmp_path: Path) -> None:
    names = pa.array(["dog", "x", "cat"]).dictionary_encode()
    write_rows(tmp_path / "p.parquet", 3, label=pa.array([1.0, None, 0.0]), label_name=names)
    assert found(open_collection(tmp_path)) == [(1, "dog"), (None, None), (0, "cat")]
    write_rows(tmp_path / "p.parquet", 2, label=[b"dog", b"cat"])
    assert found(open_collection(tmp_path)) == [(1, "dog"), (0, "cat")]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1], [2]], r"p.parquet: column 'label' is list<.*>, and classes are numbers or names"),
        (
            pa.array([1, 2], pa.date32()),
            r"column 'label' is date32.*`recipe.label_column`, or none",
        ),
        (
            [1.0, 2.5],
            r"column 'label' is double, and row 1 has 2.5: the number of a class is whole",
        ),
        ([1.0, float("inf")], r"row 1 has inf"),
        (
            [1, LARGEST + 1],
            r"p.parquet: column 'label': row 1 has 2147483648, .* at most 2,147,483,647",
        ),
        (pa.array([1, 2**64 - 1], pa.uint64()), r"row 1 has 18446744073709551615"),
        (pa.array([1, 2**32 - 1], pa.uint32()), r"row 1 has 4294967295"),
        ([1.0, 1e300], r"row 1 has 1e\+300"),
        ([b"cat", b"\xff"], r"column 'label' holds bytes that are no text"),
    ],
)
def test_what_is_no_class_is_named_by_file_column_and_row(
    tmp_path: Path, column: Any, message: str
) -> None:
    write_rows(tmp_path / "p.parquet", 2, label=column)
    with pytest.raises(ValueError, match=message):
        open_collection(tmp_path)
    collection = open_collection(tmp_path, columns=IGNORED)
    assert found(collection) == [(None, None)] * 2
    assert collection.unlabelled == "classes are ignored, as asked"


def test_numbers_in_one_file_and_names_in_another_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "1.parquet", 1, label=[3])
    write_rows(tmp_path / "2.parquet", 1, label=["cat"])
    with pytest.raises(ValueError, match=r"Parquet files must be all names .*both: 3 and 'cat'"):
        open_collection(tmp_path)


def test_a_column_of_nothing_says_so(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.parquet", 2, label=pa.nulls(2))
    assert "'label' of the Parquet files states no class" in open_collection(tmp_path).unlabelled
    write_rows(tmp_path / "p.parquet", 2)
    assert open_collection(tmp_path).unlabelled == "the Parquet files have no column 'label'"


def test_partitions_state_the_classes_of_their_files(folder: Place) -> None:
    for number, name in enumerate(["cat", "sea%20urchin", "__HIVE_DEFAULT_PARTITION__"]):
        folder.put(f"label={name}/0.parquet", rows(1, start=number))
    folder.put("label=cat/_SUCCESS", b"")
    collection = open_collection(folder.url)
    assert found(collection) == [(None, None), (0, "cat"), (1, "sea urchin")]
    assert [collection.read(picture) for picture in collection.pictures] == [png(2), png(0), png(1)]


def test_a_partition_may_be_named_and_a_column_goes_before_it(tmp_path: Path) -> None:
    write_rows(tmp_path / "kind=9/0.parquet", 1)
    write_rows(tmp_path / "kind=10/0.parquet", 1)
    collection = open_collection(tmp_path, columns=Columns(label=("kind",)))
    assert found(collection) == [(0, "9"), (1, "10")]
    write_rows(tmp_path / "other/label=9/0.parquet", 1, label=[4])
    assert found(open_collection(tmp_path / "other")) == [(4, None)]


def test_folders_of_pictures_may_be_partitions(tmp_path: Path) -> None:
    write(tmp_path, "x/label=cat/1.png", "x/label=dog/1.png")
    assert open_collection(tmp_path).label_names == {0: "cat", 1: "dog"}


def test_a_loose_picture_has_no_class_and_takes_none_from_the_others(folder: Place) -> None:
    fill(folder, "dog/a.png", "cat/b.png", "preview.png")
    collection = open_collection(folder.url)
    assert collection.label_names == {0: "cat", 1: "dog"}
    assert found(collection)[-1] == (None, None)
    assert collection.classes == "2 classes (unknown for 1)"
    assert found(open_collection(folder.url, columns=IGNORED)) == [(None, None)] * 3


def test_among_loose_pictures_a_folder_is_a_mere_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png", "old/c.png", "old/d.png")
    collection = open_collection(tmp_path)
    assert collection.label_names == {}
    assert collection.classes == "no classes"
    assert collection.unlabelled == "2 of 4 pictures are in no folder"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"label": 3.0}, (3, None)),
        ({"label": True}, (1, None)),
        ({"label": -1}, (None, None)),
        ({"label": float("nan")}, (None, None)),
        ({"label": None, "name": "x"}, (None, None)),
        ({"label": "cat"}, (None, "cat")),
    ],
)
def test_a_record_states_a_class_in_any_type(
    record: dict[str, Any], expected: tuple[int | None, str | None]
) -> None:
    stated = stated_in(record, "somewhere", Columns())
    assert (stated["number"], stated["text"]) == expected


def test_keys_of_a_list_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, "1.png")
    record = {"image": "1.png", "label": [1, 2], "kind": 4, "kind_name": "owl"}
    (tmp_path / "contents.jsonl").write_text(json.dumps(record))
    columns = Columns.named("recipe", "", "kind", "kind_name", "")
    assert open_collection(tmp_path, columns=columns).label_names == {4: "owl"}
    assert found(open_collection(tmp_path, columns=IGNORED)) == [(None, None)]


def test_a_mark_of_byte_order_is_no_part_of_a_list(tmp_path: Path) -> None:
    write(tmp_path, "1.png")
    line = json.dumps({"image": "1.png", "label": "owl"})
    (tmp_path / "contents.jsonl").write_text(line, encoding="utf-8-sig")
    assert open_collection(tmp_path).label_names == {0: "owl"}


def test_a_cast_keeps_the_order_of_chunks() -> None:
    column = pa.chunked_array([[1.0], [float("nan"), 2.0]])
    numbers, names = cast(column, "p, column x", Columns())
    assert numbers.to_pylist() == [1, None, 2]
    assert names.null_count == 3


def test_parquet_files_that_were_joined_into_one_are_refused(folder: Place) -> None:
    one, other = rows(5, label=list(range(5))), rows(5, start=5, label=list(range(5)))
    folder.put("p.parquet", one + other)
    with pytest.raises(
        ValueError, match=rf"several Parquet files joined .*\({len(one):,} bytes lie"
    ):
        open_collection(folder.url)
    folder.put("p.parquet", one + b"more")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        open_collection(folder.url)


def test_what_parquet_files_keep_before_their_footer_is_no_join(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    table = pa.table({"image": [png()], "key": ["a"]})
    pq.write_table(table, buffer, write_page_index=True)
    (tmp_path / "p.parquet").write_bytes(buffer.getvalue())
    assert len(open_collection(tmp_path)) == 1
