"""Samples of tars as people make them: joined tars, links, several pictures, broken and distant sidecars, folders."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from clipneuron.data.columns import Columns
from clipneuron.data.opening import Collection, open_collection
from tests.samples.pictures import Folder, Place, png, tar

Members = Sequence[tuple[str, bytes]]


def made(tmp_path: Path, members: Members, **columns: object) -> Collection:
    Folder(str(tmp_path)).put("x.tar", tar(members))
    return open_collection(tmp_path / "x.tar", columns=Columns(**columns))


def names(collection: Collection) -> list[str]:
    return [picture.image.removeprefix("x.tar/") for picture in collection.pictures]


def labels(collection: Collection) -> list[tuple[int | None, str | None]]:
    return [(picture.label, picture.label_name) for picture in collection.pictures]


@pytest.mark.parametrize("padding", [0, 512, 3 * 2**16])
def test_tars_that_were_joined_are_read_on(folder: Place, padding: int) -> None:
    parts = [tar([(f"{n}.png", png(n)), (f"{n}.cls", b"%d" % n)]) for n in range(3)]
    folder.put("x.tar", (b"\0" * padding).join([tar([]), *parts]))
    collection = open_collection(folder.url)
    assert list(collection.read_many(collection.pictures)) == [png(0), png(1), png(2)]
    assert [picture.label for picture in collection.pictures] == [0, 1, 2]
    assert collection.skipped == {}


def test_what_follows_the_end_and_is_no_tar_is_refused(tmp_path: Path) -> None:
    whole = tar([("1.png", png())])
    for tail in (b"x", b"PAR1" * 300):
        (tmp_path / "x.tar").write_bytes(whole + tail)
        with pytest.raises(
            ValueError, match=rf"behind its end: {len(tail):,} bytes from byte {len(whole)} "
        ):
            open_collection(tmp_path)


def test_a_joined_tar_that_is_cut_off_keeps_the_rest(tmp_path: Path) -> None:
    second = tar([("2.png", png()), ("3.png", png(3) * 30)])
    (tmp_path / "x.tar").write_bytes(tar([("1.png", png())]) + second[:3000])
    collection = open_collection(tmp_path)
    assert len(collection) == 3
    assert collection.skipped == {"tar cut off": 1}


def test_keys_that_joined_tars_share_are_refused(tmp_path: Path) -> None:
    one = tar([("1.png", png())])
    (tmp_path / "x.tar").write_bytes(one + one)
    with pytest.raises(ValueError, match=r"two pictures called 1.png, as a tar that was appended"):
        open_collection(tmp_path)


def test_links_lead_to_the_contents_of_others(tmp_path: Path) -> None:
    buffer = io.BytesIO(tar([("./a/1.png", png(1)), ("a/1.cls", b"4")]))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for name, kind, target in (
            ("a/2.png", tarfile.LNKTYPE, "./a/1.png"),
            ("a/3.png", tarfile.SYMTYPE, "1.png"),
            ("b/4.png", tarfile.SYMTYPE, "../a/2.png"),
            ("b/4.cls", tarfile.LNKTYPE, "a/1.cls"),
            ("b/5.png", tarfile.SYMTYPE, "5.png"),
            ("b/6.png", tarfile.LNKTYPE, "gone.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    (tmp_path / "x.tar").write_bytes(buffer.getvalue())
    collection = open_collection(tmp_path)
    assert names(collection) == ["./a/1.png", "a/2.png", "a/3.png", "b/4.png"]
    assert list(collection.read_many(collection.pictures)) == [png(1)] * 4
    assert [picture.label for picture in collection.pictures] == [None, None, None, 4]
    assert collection.skipped == {"broken link": 2, "label without a picture": 1}


SCANS = [("scan.000.jpg", png(0)), ("scan.001.jpg", png(1)), ("scan.001.cls", b"7")]
MASKS = [("0.jpg", png(0)), ("0.mask.png", png(1)), ("1.jpg", png(2)), ("1.mask.png", png(3))]
MASKS = [*MASKS, ("1.cls", b"5")]
VIEWS = [("0.left.jpg", png(0)), ("0.right.jpg", png(1)), ("0.json", b'{"label": "owl"}')]


@pytest.mark.parametrize(
    ("members", "member", "pictures", "expected"),
    [
        (SCANS, "each", ["scan.000.jpg", "scan.001.jpg"], [(None, None), (7, None)]),
        (MASKS, "jpg", ["0.jpg", "1.jpg"], [(None, None), (5, None)]),
        (MASKS, "mask.png", ["0.mask.png", "1.mask.png"], [(None, None), (5, None)]),
        (VIEWS, ".RIGHT.jpg", ["0.right.jpg"], [(0, "owl")]),
        ([("1.img", png()), ("1.png", png())], "img", ["1.img"], [(None, None)]),
    ],
)
def test_the_picture_of_a_sample_can_be_named(
    tmp_path: Path,
    members: Members,
    member: str,
    pictures: list[str],
    expected: list[tuple[int | None, str | None]],
) -> None:
    collection = made(tmp_path, members, member=Columns.named("recipe", "", "", "", member).member)
    assert names(collection) == pictures
    assert labels(collection) == expected


@pytest.mark.parametrize("members", [SCANS, MASKS, VIEWS])
def test_several_pictures_are_answered_with_the_way_out(tmp_path: Path, members: Members) -> None:
    ends = " or ".join(name.partition(".")[2] for name, _ in members[:2])
    with pytest.raises(ValueError, match=rf"with `recipe.member`, such as {ends}, or each where"):
        made(tmp_path, members)


def test_a_member_that_no_sample_has_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ending in .webp, as `recipe.member` says"):
        made(tmp_path, [("1.png", png())], member="webp")


def test_pictures_that_share_a_key_are_samples_of_their_own_where_each_is(tmp_path: Path) -> None:
    collection = made(
        tmp_path, [("1.jpg", png(0)), ("1.png", png(1)), ("1.cls", b"3")], member="each"
    )
    assert labels(collection) == [(3, None), (3, None)]


def test_one_broken_label_is_one_missing_label(tmp_path: Path) -> None:
    members = [
        (f"{n}.{end}", data) for n in range(4) for end, data in (("png", png(n)), ("cls", b"1"))
    ]
    members[1] = ("0.cls", b"\xef\xbb\xbf1\r\n")
    members[3] = ("1.cls", b"dog")
    members[5] = ("2.json", b"")
    collection = made(tmp_path, members)
    assert [label for label, _ in labels(collection)] == [1, None, None, 1]
    assert collection.skipped == {"label that cannot be read": 2}
    assert collection.unlabelled == ""


def test_where_no_label_can_be_read_the_first_one_is_shown(tmp_path: Path) -> None:
    collection = made(tmp_path, [("1.png", png()), ("1.cls", b"dog")])
    assert labels(collection) == [(None, None)]
    assert "x.tar/1.cls holds b'dog': expected the number of a class" in collection.unlabelled


def test_labels_are_ignored_where_that_is_asked(tmp_path: Path) -> None:
    members = [("cat/1.png", png()), ("cat/1.json", b'{"label": [1, 2]}'), ("cat/1.cls", b"2")]
    assert labels(made(tmp_path, members, label=())) == [(None, None)]
    assert labels(
        made(tmp_path, [*members[:1], ("cat/1.json", b'{"kind": 8}')], label=("kind",))
    ) == [(8, None)]


def test_folders_in_a_tar_are_classes_as_on_a_disk(tmp_path: Path) -> None:
    members = [
        ("./dog/1.png", png()),
        ("cat/2.png", png()),
        ("10/deep/3.png", png()),
        ("4.png", png()),
    ]
    collection = made(tmp_path, members)
    assert labels(collection) == [(2, "dog"), (1, "cat"), (0, "10"), (None, None)]
    flat = made(tmp_path, [("1.png", png())])
    assert (
        "no .cls or .json states a class, and 1 of 1 pictures are in no folder" in flat.unlabelled
    )


def test_labels_apart_from_their_pictures_are_joined(tmp_path: Path) -> None:
    pictures = [(f"{n}.png", png(n)) for n in range(3)]
    apart = [("2.cls", b"2"), ("0.cls", b"5"), ("9.cls", b"9")]
    names_apart = [("0.json", b'{"label": "owl"}'), ("1.json", b'{"label": 4, "name": "cow"}')]
    collection = made(tmp_path, [*apart, *pictures, *names_apart])
    assert labels(collection) == [(5, "owl"), (4, "cow"), (2, None)]
    assert collection.skipped == {"label without a picture": 1}


@pytest.mark.parametrize("first", [("0.cls", b"1"), ("0.json", b'{"label": 1}')])
def test_two_classes_of_one_key_are_refused(tmp_path: Path, first: tuple[str, bytes]) -> None:
    members = [("0.png", png()), first, ("1.png", png()), ("0.cls", b"2")]
    with pytest.raises(ValueError, match=r"x.tar states two classes for the key '0'"):
        made(tmp_path, members)
    with pytest.raises(ValueError, match="two classes for the key '0'"):
        made(tmp_path, [first, ("1.cls", b"1"), ("0.cls", b"2"), ("0.png", png())])
    with pytest.raises(ValueError, match="two classes for the key '0'"):
        made(
            tmp_path, [("0.png", png()), ("1.png", png()), first, ("1.cls", b"1"), ("0.cls", b"2")]
        )
