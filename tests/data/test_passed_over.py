"""What lies among pictures and is no part of a collection; where a test takes a folder, it is on a disk and on S3."""

import doctest
import errno
import io
import json
from pathlib import Path

import pytest

from clipneuron.data.columns import Columns
from clipneuron.data.files import LocalFiles
from clipneuron.data.opening import Collection, open_collection
from clipneuron.data.passed_over import names
from clipneuron.store.store import Store
from tests.samples.pictures import Folder, Place, fill, png, rows, tar, write, write_rows


def images(collection: Collection) -> list[str]:
    return [picture.image for picture in collection.pictures]


def test_names_that_tools_reserve() -> None:
    assert doctest.testmod(names) == (0, 3)


def test_what_tools_leave_behind_is_left_out_and_counted(folder: Place) -> None:
    fill(folder, "cat/_DSC0001.JPG", "cat/2.png", "__MACOSX/cat/2.png", "@eaDir/2.png")
    folder.put("_SUCCESS", b"")
    folder.put("cat/_temporary/0/3.png", png())
    collection = open_collection(folder.url)
    assert images(collection) == ["cat/2.png", "cat/_DSC0001.JPG"]
    assert collection.skipped == {"reserved name": 4}


def test_files_of_rows_with_reserved_names_are_no_data(folder: Place) -> None:
    folder.put("part-0.parquet", rows(2))
    folder.put("_delta_log/1.parquet", rows(3))
    folder.put("_metadata.parquet", rows(3))
    assert len(open_collection(folder.url)) == 2
    assert open_collection(folder.url).skipped == {"reserved name": 2}


def test_other_formats_are_counted_by_the_ends_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "1.png")
    for name in ("1.heic", "2.HEIC", "x.zip", "a.txt", "b.txt", "c.md"):
        (tmp_path / name).touch()
    assert open_collection(tmp_path).skipped == {
        "not a picture (.heic)": 2,
        "not a picture (.txt)": 2,
        "not a picture (.zip)": 1,
        "not a picture": 1,
    }


def test_a_tars_reserved_names_are_no_pictures(tmp_path: Path) -> None:
    members = [("./1.png", png()), ("__MACOSX/._1.png", png()), ("_tmp/2.png", png())]
    Folder(str(tmp_path)).put("x.tar", tar(members))
    collection = open_collection(tmp_path)
    assert images(collection) == ["x.tar/./1.png"]
    assert collection.skipped == {"hidden": 1, "reserved name": 1}


def run_in(place: str) -> str:
    """A run with a picture, as its report leaves one, and a table; where it is."""
    run = Store(place).open_run("cats", {"model": "tiny"})
    run.put_file("reports/contact-sheet.png", png(99))
    run.put_file("reports/rows.parquet", rows(2))
    return run.url


@pytest.mark.parametrize("named", [True, False])
def test_the_store_and_its_runs_are_no_part_of_a_collection(folder: Place, named: bool) -> None:
    fill(folder, "1.png", "2.png")
    alone = open_collection(folder.url)
    store = f"{folder.url}/runs"
    run_in(store)
    folder.put("runs/pictures/demo-0-20/1.png", png())
    collection = open_collection(folder.url, store=store if named else "")
    assert images(collection) == ["1.png", "2.png"]
    assert collection.digest == alone.digest
    assert collection.skipped == {"of a run of ours": 4}


def test_a_store_in_the_same_folder_is_no_part_of_it_either(folder: Place) -> None:
    fill(folder, "1.png")
    folder.put("pictures/demo-things-1-8/1.png", png())
    run_in(folder.url)
    collection = open_collection(folder.url, store=folder.url)
    assert images(collection) == ["1.png"]
    assert images(open_collection(folder.url)) == ["1.png"]


def test_parquet_files_are_found_beside_a_run(tmp_path: Path) -> None:
    write_rows(tmp_path / "p.parquet", 3)
    run_in(str(tmp_path / "store"))
    assert len(open_collection(tmp_path)) == 3


def test_a_renamed_run_and_one_whose_record_is_damaged_are_still_runs(tmp_path: Path) -> None:
    write(tmp_path, "1.png")
    first = Path(run_in(str(tmp_path / "store")))
    first.rename(tmp_path / "old")
    second = Path(run_in(str(tmp_path / "store")))
    (second / "run.json").write_text("{")
    assert images(open_collection(tmp_path)) == ["1.png"]


def test_another_programs_run_is_data(tmp_path: Path) -> None:
    write(tmp_path, "scan/1.png")
    (tmp_path / "scan" / "run.json").write_text(json.dumps({"name": "scan"}))
    (tmp_path / "run.json").write_text("[]")
    assert images(open_collection(tmp_path)) == ["scan/1.png"]


def test_a_store_elsewhere_changes_nothing_and_pictures_in_a_store_are_found(
    tmp_path: Path,
) -> None:
    write(tmp_path / "store/pictures/mine", "1.png")
    place = tmp_path / "store/pictures/mine"
    assert len(open_collection(place, store=str(tmp_path / "store"))) == 1
    assert len(open_collection(place, store="s3://bucket/runs")) == 1
    assert len(open_collection(tmp_path, store=str(tmp_path / "stor"))) == 1


def test_a_run_is_no_collection(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a run of clipneuron, not a collection: point at"):
        open_collection(run_in(str(tmp_path)))


def repository(folder: Place) -> None:
    """A data set's repository with figures for its README."""
    fill(folder, "assets/1.png", "assets/2.png", "assets/3.png")
    folder.put("data/0.parquet", rows(2))
    folder.put("data/1.parquet", rows(5))
    folder.put("data/2.parquet", rows(5))


def test_where_the_smaller_part_would_win_somebody_must_choose(folder: Place) -> None:
    repository(folder)
    with pytest.raises(ValueError, match="only the smaller part") as caught:
        open_collection(folder.url, columns=Columns(section="evaluation"))
    message = str(caught.value)
    assert "holds 3 pictures (such as assets/1.png)" in message
    assert "at least 7 pictures in Parquet files (such as data/0.parquet)" in message
    assert f"`evaluation.images` at what is meant, such as {folder.url}/assets or " in message
    assert f"{folder.url}/data, or give `evaluation.image_column`" in message
    assert len(open_collection(f"{folder.url}/data")) == 12


def test_a_named_column_takes_the_parquet_files(tmp_path: Path) -> None:
    repository(Folder(str(tmp_path)))
    collection = open_collection(tmp_path, columns=Columns.named("recipe", "image", "none", "", ""))
    assert len(collection) == 12
    assert collection.skipped == {"pictures beside Parquet files": 3}


def test_the_smaller_part_is_passed_over_with_counts(folder: Place) -> None:
    fill(folder, "1.png", "2.png", "3.png")
    folder.put("x.tar", tar([("1.png", png()), ("2.png", png())]))
    folder.put("p.parquet", rows(3))
    folder.put("captions.parquet", b"damaged")
    collection = open_collection(folder.url)
    assert images(collection) == ["1.png", "2.png", "3.png"]
    assert collection.skipped == {
        "tars beside pictures": 1,
        "pictures in tars beside pictures": 2,
        "Parquet files beside pictures": 2,
        "pictures in Parquet files beside pictures": 3,
    }


def test_a_tar_beside_pictures_that_may_not_be_read_does_not_stop_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Folder(str(tmp_path)), "1.png", "2.png")
    (tmp_path / "x.tar").write_bytes(tar([("1.png", png())]))

    def forbidden(files: LocalFiles, path: str, size: int) -> io.RawIOBase:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(LocalFiles, "open", forbidden)
    collection = open_collection(tmp_path)
    assert len(collection) == 2
    assert collection.skipped == {"tars beside pictures": 1}
    with pytest.raises(ValueError, match=r"x.tar is not a readable tar: Permission denied"):
        open_collection(tmp_path / "x.tar")


def test_tars_may_be_more_than_the_pictures_or_less_than_the_rows(tmp_path: Path) -> None:
    write(tmp_path / "one", "1.png")
    (tmp_path / "one/x.tar").write_bytes(tar([("1.png", png()), ("1.mask.png", png())]))
    with pytest.raises(
        ValueError, match=r"holds 1 picture \(.* 2 pictures in tars .*or give `recipe.member`"
    ):
        open_collection(tmp_path / "one")
    member = open_collection(tmp_path / "one", columns=Columns(member="mask.png"))
    assert images(member) == ["x.tar/1.mask.png"]
    (tmp_path / "two").mkdir()
    (tmp_path / "two/x.tar").write_bytes(tar([("1.png", png())]))
    write_rows(tmp_path / "two/p.parquet", 2)
    with pytest.raises(ValueError, match=r"holds 1 picture in tars .* 2 pictures in Parquet files"):
        open_collection(tmp_path / "two")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            Columns(image=("x",)),
            "`recipe.image_column` names a column of Parquet files, and there are",
        ),
        (
            Columns(member="jpg"),
            "`recipe.member` names a member of the samples in tars, and there are",
        ),
        (Columns(label=("x",)), "`recipe.label_column` names 'x', and nothing beside the pictures"),
    ],
)
def test_what_is_named_in_vain_is_said(tmp_path: Path, columns: Columns, message: str) -> None:
    write(tmp_path, "1.png")
    with pytest.raises(ValueError, match=message):
        open_collection(tmp_path, columns=columns)


def cache(root: Path, *versions: str) -> Path:
    """A repository as the hub's cache keeps it: files by their hash, and a folder of links for each version."""
    (root / "refs").mkdir(parents=True)
    write_rows(root / "blobs" / "abc", 2)
    for version in versions:
        (root / "snapshots" / version).mkdir(parents=True)
        (root / "snapshots" / version / "p.parquet").symlink_to(root / "blobs" / "abc")
    return root


def test_of_a_hubs_cache_one_version_is_taken(tmp_path: Path) -> None:
    root = cache(tmp_path / "datasets--me--cats", "aaaa", "bbbb")
    (root / "refs" / "main").write_text("bbbb")
    for place in (root, root / "snapshots"):
        collection = open_collection(place)
        assert [picture.source[-14:] for picture in collection.pictures] == ["bbbb/p.parquet"] * 2
        assert collection.skipped["other version of a hub's repository"] == 1
    assert len(open_collection(root / "snapshots" / "aaaa")) == 2


def test_of_versions_without_a_main_one_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds 2 versions of one repository \(aaaa, bbbb\)"):
        open_collection(cache(tmp_path, "bbbb", "aaaa"))
