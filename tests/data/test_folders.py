import errno
import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipneuron.data.listing import natural_order
from clipneuron.data.opening import ReadError, open_collection
from clipneuron.data.passed_over.names import SUFFIXES
from tests.samples.pictures import png, write


def images(root: Path) -> list[str]:
    return [picture.image for picture in open_collection(root).pictures]


def labels(root: Path) -> dict[str, tuple[int | None, str | None]]:
    pictures = open_collection(root).pictures
    return {picture.image: (picture.label, picture.label_name) for picture in pictures}


def test_every_suffix_in_any_case_at_any_depth(tmp_path: Path) -> None:
    names = [f"d{number}/x/p{s.upper() if number % 2 else s}" for number, s in enumerate(SUFFIXES)]
    write(tmp_path, *names)
    (tmp_path / "notes.txt").touch()
    assert sorted(images(tmp_path)) == sorted(names)
    assert open_collection(tmp_path).skipped == {"not a picture (.txt)": 1}


def test_the_order_is_natural(tmp_path: Path) -> None:
    write(
        tmp_path,
        "img10.png",
        "img2.png",
        "b/1.png",
        "a10/1.png",
        "a9/1.png",
        "img01.png",
        "img1.png",
    )
    assert images(tmp_path) == [
        "a9/1.png",
        "a10/1.png",
        "b/1.png",
        "img01.png",
        "img1.png",
        "img2.png",
        "img10.png",
    ]


@given(st.lists(st.text(st.sampled_from("ab01/.-²٣"), min_size=1, max_size=6), unique=True))
def test_the_order_is_total_and_depends_on_nothing_else(names: list[str]) -> None:
    for some in (names, names[::-1]):
        order = natural_order(pa.chunked_array([some], pa.string())).to_pylist()
        assert [some[place] for place in order] == sorted(names, key=naturally)


def naturally(path: str) -> tuple[object, str]:
    """The natural order said plainly: digits count as numbers, folder by folder."""
    parts = [re.split(r"([0-9]+)", part) for part in path.split("/")]
    return [[int(t) if i % 2 else t for i, t in enumerate(part)] for part in parts], path


def test_pictures_are_numbered_and_read(tmp_path: Path) -> None:
    write(tmp_path, "0.png", "1.png", "2.png")
    collection = open_collection(str(tmp_path))
    assert len(collection) == len(collection.pictures) == 3
    assert [picture.index for picture in collection.pictures] == [0, 1, 2]
    assert [collection.read(picture) for picture in collection.pictures] == [png(0), png(1), png(2)]
    assert list(collection.read_many(collection.pictures[1:])) == [png(1), png(2)]
    assert collection.pictures[0].source == "0.png"
    assert collection.pictures[0].offset is None


def test_classes_are_the_first_folders_when_all_pictures_are_in_folders(tmp_path: Path) -> None:
    write(tmp_path, "dog/a.png", "cat/deep/b.png", "10/c.png")
    assert labels(tmp_path) == {
        "10/c.png": (0, "10"),
        "cat/deep/b.png": (1, "cat"),
        "dog/a.png": (2, "dog"),
    }
    assert open_collection(tmp_path).label_names == {0: "10", 1: "cat", 2: "dog"}


def contents(root: Path, *records: object) -> None:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (root / "contents.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_labels_from_a_list_beside_the_pictures(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png", "3.png")
    contents(
        tmp_path,
        {"image": "1.png", "label": "dog", "caption": "a\u2028dog"},
        "",
        {"image": "2.png", "label": "cat"},
        {"image": "gone.png", "label": "bird"},
    )
    assert labels(tmp_path) == {"1.png": (1, "dog"), "2.png": (0, "cat"), "3.png": (None, None)}
    assert open_collection(tmp_path).skipped == {"listed but missing": 1}


def test_numbered_labels_from_a_list(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png", "b/2.png")
    contents(
        tmp_path,
        {"image": "a/1.png", "label": 7, "label_name": "dog"},
        {"image": "b/2.png", "label": 3},
    )
    assert labels(tmp_path) == {"a/1.png": (7, "dog"), "b/2.png": (3, None)}
    assert open_collection(tmp_path).label_names == {7: "dog"}


def test_a_list_without_labels_leaves_the_folders_to_name_the_classes(tmp_path: Path) -> None:
    write(tmp_path, "dog/1.png")
    contents(tmp_path, {"image": "dog/1.png", "caption": "a dog"})
    assert labels(tmp_path) == {"dog/1.png": (0, "dog")}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (["{"], r"contents.jsonl, line 1 is not JSON"),
        ([{"image": "1.png"}, "[]"], r"line 2 has no \"image\""),
        ([{"label": "cat"}], r"line 1 has no \"image\""),
        ([{"image": "1.png", "label": 1.5}], r"contents.jsonl, line 1: 'label' is 1.5"),
        ([{"image": "1.png", "label": 2**31}], r"contents.jsonl, line 1, 'label' is 2147483648"),
        ([{"image": "1.png", "label": 1}, {"image": "2.png", "label": "x"}], "all names"),
    ],
)
def test_a_bad_list_is_an_error(tmp_path: Path, records: list[object], message: str) -> None:
    write(tmp_path, "1.png", "2.png")
    contents(tmp_path, *records)
    with pytest.raises(ValueError, match=message):
        open_collection(tmp_path)


def test_a_list_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "1.png")
    (tmp_path / "contents.jsonl").write_bytes(
        '{"image": "1.png", "label": "caf\xe9"}'.encode("latin1")
    )
    with pytest.raises(ValueError, match=r"can't read .*contents.jsonl: 'utf-8' codec"):
        open_collection(tmp_path)


def test_one_label_has_one_name(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "2.png")
    contents(
        tmp_path,
        {"image": "1.png", "label": 0, "name": "cat"},
        {"image": "2.png", "label": 0, "name": "dog"},
    )
    with pytest.raises(ValueError, match="label 0 is called both 'cat' and 'dog'"):
        open_collection(tmp_path)


def test_what_is_no_picture_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path, "a.png", ".hidden.png", ".folder/b.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb"):
        pass
    assert images(tmp_path) == ["a.png"]
    assert open_collection(tmp_path).skipped == {
        "hidden": 2,
        "broken link": 1,
        "not a file": 1,
        "name is not UTF-8": 1,
    }


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", "x.png")
    write(tmp_path / "here", "a.png")
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "loop").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "b.png").symlink_to(tmp_path / "here" / "a.png")
    assert images(tmp_path / "here") == ["a.png", "b.png", "link/x.png"]
    assert open_collection(tmp_path / "here").skipped == {"folder already listed": 1}


def test_a_picture_that_cannot_be_read_has_a_status_and_a_reason(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png", "c.png", "d.png")
    collection = open_collection(tmp_path)
    (tmp_path / "b.png").unlink()
    (tmp_path / "c.png").write_bytes(b"")
    (tmp_path / "d.png").unlink()
    (tmp_path / "d.png").mkdir()
    first, *others = collection.read_many(collection.pictures)
    assert first == png(0)
    assert [str(error) for error in others] == [
        "missing: the file b.png is gone",
        "empty: the file c.png has no bytes",
        "unreadable: d.png: Is a directory",
    ]
    with pytest.raises(ReadError) as caught:
        collection.read(collection.pictures[1])
    assert (caught.value.status, caught.value.reason) == ("missing", "the file b.png is gone")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_single_picture_is_a_collection(tmp_path: Path) -> None:
    write(tmp_path, "one.PNG", "other.png")
    collection = open_collection(tmp_path / "one.PNG")
    [picture] = collection.pictures
    assert (picture.index, picture.image, picture.label) == (0, "one.PNG", None)
    assert collection.read(picture) == png(0)


def test_the_digest_is_of_what_is_there_not_of_where(tmp_path: Path) -> None:
    write(tmp_path / "one", "cat/1.png", "dog/2.png")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    digest = open_collection(tmp_path / "one").digest
    assert open_collection(tmp_path / "two").digest == digest
    (tmp_path / "two/cat/1.png").write_bytes(b"other")
    assert open_collection(tmp_path / "two").digest != digest


@pytest.mark.parametrize("change", ["more", "renamed", "relabelled"])
def test_the_digest_changes_with(tmp_path: Path, change: str) -> None:
    write(tmp_path, "1.png", "2.png")
    contents(tmp_path, {"image": "1.png", "label": "cat"})
    digest = open_collection(tmp_path).digest
    if change == "more":
        write(tmp_path, "3.png")
    elif change == "renamed":
        (tmp_path / "2.png").rename(tmp_path / "4.png")
    else:
        contents(tmp_path, {"image": "1.png", "label": "dog"})
    assert open_collection(tmp_path).digest != digest


def test_a_collection_travels(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.png", "dog/2.png")
    collection = open_collection(tmp_path)
    other = pickle.loads(pickle.dumps(collection))
    assert list(other.pictures) == list(collection.pictures)
    assert other.read(other.pictures[1]) == png(1)
    assert other.digest == collection.digest


def test_an_empty_folder_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.csv", "README", ".hidden"):
        (tmp_path / name).touch()
    with pytest.raises(
        ValueError, match=r"no picture in .*found 2 .txt, 1 .*skipped: 1 hidden"
    ) as caught:
        open_collection(tmp_path)
    assert "1 no suffix" in str(caught.value)
    assert ".jpeg" in str(caught.value)


def test_a_directory_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.png", "secret/b.png")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("secret"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(ValueError, match=r"can't list .*secret: Permission denied; .* readable"):
        open_collection(tmp_path)
