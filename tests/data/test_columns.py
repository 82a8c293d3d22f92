"""Columns are found by their usual names and types, or as named; otherwise the message says which of both is wrong."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipneuron.data.columns import Columns
from clipneuron.data.opening import open_collection
from tests.samples.pictures import png


def saved(tmp_path: Path, columns: dict[str, Any]) -> Path:
    file = tmp_path / "p.parquet"
    pq.write_table(pa.table(columns), file)
    return file


def read(file: Path, columns: Columns | None = None) -> list[object]:
    collection = open_collection(file, columns=columns)
    return list(collection.read_many(collection.pictures))


@pytest.mark.parametrize("name", ["img", "png", "webp", "jpeg", "Image", "JPG"])
def test_usual_names_of_pictures(tmp_path: Path, name: str) -> None:
    rows = [{"bytes": png(n), "path": f"{n}.png"} for n in range(2)]
    assert read(saved(tmp_path, {"x": [1, 2], name: rows})) == [png(0), png(1)]
    assert read(saved(tmp_path, {name: [png(0), png(1)]})) == [png(0), png(1)]


@pytest.mark.parametrize(
    "kind", [pa.dictionary(pa.int32(), pa.binary()), pa.binary_view(), pa.large_binary()]
)
def test_pictures_of_every_type_of_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    values = [png(0), png(1), png(0)]
    column = pa.array(values, pa.binary())
    column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column.cast(kind)
    file = saved(tmp_path, {"image": column})
    assert pq.read_schema(file).field("image").type == kind
    assert read(file) == values


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            [[1, 2]],
            r"p.parquet: column 'image' is list<.*>, and pictures are read from binary .*encoded",
        ),
        ([[{"bytes": b"x"}]], r"column 'image' is list<.*write a row for each picture of the list"),
        (["a.png"], r"column 'image' is string, .*; the file has image \(string\), y \(int64\)"),
        (pa.array([b"xx"], pa.binary(2)), r"column 'image' is fixed_size_binary\[2\]"),
    ],
)
def test_a_wrong_type_is_not_answered_with_another_name(
    tmp_path: Path, column: Any, message: str
) -> None:
    file = saved(tmp_path, {"image": column, "y": [1]})
    with pytest.raises(ValueError, match=message) as caught:
        open_collection(file)
    assert "rename" not in str(caught.value)


def test_a_missing_column_is_answered_with_those_there_are(tmp_path: Path) -> None:
    file = saved(tmp_path, {"picture": [png()], "y": [1]})
    with pytest.raises(
        ValueError, match=r"no column of pictures: .*found picture \(binary\), y \("
    ):
        open_collection(file)
    asked = Columns.named("evaluation", "pictures", "", "", "")
    with pytest.raises(ValueError, match=r"`evaluation.image_column`; did you mean picture\?"):
        open_collection(file, columns=asked)
    with pytest.raises(ValueError, match="no column of classes: expected x"):
        open_collection(file, columns=Columns(image=("picture",), label=("x",)))
    usual = Columns.named("recipe", "picture", "label", "", "")
    with pytest.raises(ValueError, match="no column of classes: expected label"):
        open_collection(file, columns=usual)


def test_columns_in_another_case_are_found_unless_several_are_meant(tmp_path: Path) -> None:
    [picture] = open_collection(saved(tmp_path, {"Image": [png()], "Label": [3]})).pictures
    assert picture.label == 3
    file = saved(tmp_path, {"Image": [png(0)], "IMAGE": [png(1)]})
    with pytest.raises(ValueError, match=r"the columns 'Image', 'IMAGE', and any may be meant"):
        open_collection(file)
    assert read(file, Columns(image=("IMAGE",))) == [png(1)]


@pytest.mark.parametrize("name", ["image", "label"])
def test_columns_of_one_name_are_a_sentence(tmp_path: Path, name: str) -> None:
    names = ["image", name, name] if name == "label" else [name, name]
    table = pa.table([[png()]] + [[n] for n in range(2)], names=names) if name == "label" else None
    table = table or pa.table([[png()], [png()]], names=names)
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(ValueError, match=rf"p.parquet has 2 columns called '{name}'"):
        open_collection(tmp_path)


def test_another_column_of_the_same_rows_is_another_collection(tmp_path: Path) -> None:
    file = saved(tmp_path, {"image": [png(0)], "left": [png(1)], "right": [png(2)], "key": ["a"]})
    digests = {
        name: open_collection(file, columns=Columns.named("recipe", name, "", "", "")).digest
        for name in ("", "image", "left", "right")
    }
    assert digests[""] == digests["image"]
    assert len(set(digests.values())) == 3


def test_titles_are_no_names_of_classes_where_that_is_said(tmp_path: Path) -> None:
    file = saved(tmp_path, {"image": [png(0), png(1)], "label": [0, 0], "name": ["one", "two"]})
    with pytest.raises(ValueError, match=r"label 0 is called both .*`recipe.name_column`, none to"):
        open_collection(file)
    columns = Columns.named("recipe", "", "", "none", "")
    assert open_collection(file, columns=columns).label_names == {}


def test_a_name_that_is_no_text_is_refused_where_it_was_asked_for(tmp_path: Path) -> None:
    file = saved(tmp_path, {"image": [png()], "label": [0], "name": [1]})
    assert open_collection(file).label_names == {}
    with pytest.raises(ValueError, match=r"column 'name' is int64, and names are text"):
        open_collection(file, columns=Columns(name=("name",)))
