"""Tars as WebDataset writes them; each test that takes a folder runs on a local disk and on S3."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from clipneuron.data.files import LocalFiles, Span
from clipneuron.data.opening import Collection, ReadError, open_collection
from clipneuron.data.plans import plan
from clipneuron.data.s3_files import S3Files
from tests.samples.pictures import Folder, Place, png, tar


def test_samples_of_several_tars(folder: Place) -> None:
    first = [
        ("a/001.jpg", png(0)),
        ("a/001.cls", b"7"),
        ("a/002.cls", b"3\n"),
        ("a/002.png", png(1)),
    ]
    folder.put("train-2.tar", tar(first))
    folder.put("train-10.tar", tar([("a/001.webp", png(2)), ("a/001.cls", b"7")]))
    collection = open_collection(folder.url)
    pictures = list(collection.pictures)
    assert [picture.image for picture in pictures] == [
        "train-2.tar/a/001.jpg",
        "train-2.tar/a/002.png",
        "train-10.tar/a/001.webp",
    ]
    assert [picture.label for picture in pictures] == [7, 3, 7]
    assert [picture.size for picture in pictures] == [len(png(n)) for n in range(3)]
    assert pictures[0].source == "train-2.tar"
    assert list(collection.read_many(pictures[::-1])) == [png(n) for n in (2, 1, 0)]
    assert collection.read(pictures[1]) == png(1)


def test_one_tar(folder: Place) -> None:
    folder.put("one.tar", tar([("1.png", png(0))]))
    folder.put("two.tar", tar([("1.png", png(1))]))
    [picture] = open_collection(f"{folder.url}/two.tar").pictures
    assert picture.image == "two.tar/1.png"
    assert open_collection(f"{folder.url}/two.tar").read(picture) == png(1)


def made(tmp_path: Path, *members: tuple[str, bytes]) -> Collection:
    """The collection of one tar with these members."""
    Folder(str(tmp_path)).put("x.tar", tar(members))
    return open_collection(tmp_path / "x.tar")


def labels(collection: Collection) -> list[tuple[int | None, str | None]]:
    return [(picture.label, picture.label_name) for picture in collection.pictures]


def test_labels_from_json_are_names_or_numbers(tmp_path: Path) -> None:
    dog = ("1.json", b'{"label": "dog", "caption": "a dog"}')
    named = made(
        tmp_path, ("1.png", png()), dog, ("2.png", png()), ("3.png", png()), ("3.json", b"[]")
    )
    assert labels(named) == [(0, "dog"), (None, None), (None, None)]
    numbered = made(tmp_path, ("1.png", png()), ("1.json", b'{"label": 4, "label_name": "dog"}'))
    assert labels(numbered) == [(4, "dog")]


@pytest.mark.parametrize("told", [b'{"label": "dog"}', b'{"label": 9, "name": "dog"}'])
@pytest.mark.parametrize("cls_first", [True, False])
def test_a_cls_goes_before_a_json_which_may_name_it(
    tmp_path: Path, told: bytes, cls_first: bool
) -> None:
    beside = [("1.cls", b"2"), ("1.json", told)]
    collection = made(tmp_path, ("1.png", png()), *(beside if cls_first else beside[::-1]))
    assert labels(collection) == [(2, "dog")]


def test_a_name_without_a_label_is_no_class(tmp_path: Path) -> None:
    members = [
        ("1.png", png()),
        ("1.json", b'{"name": "beach.png"}'),
        ("2.png", png()),
        ("2.cls", b"1"),
    ]
    assert labels(made(tmp_path, *members)) == [(None, None), (1, None)]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("1.json", b'{"label": 1.5}', r"x.tar/1.json: 'label' is 1.5, .* one name or one number"),
        ("1.json", b'{"label": [1]}', r"'label' is \[1\], .* `recipe.label_column`, or none"),
        ("1.cls", b"3000000000", r"x.tar/1.cls is 3000000000, .* at most 2,147,483,647"),
        ("1.JPG", png(), r"two pictures under the key '1' \(1.png and 1.JPG\)"),
        ("1.png", png(), r"x.tar has two pictures called 1.png"),
    ],
)
def test_samples_that_make_no_sense(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(tmp_path, ("1.png", png()), (name, data))


def test_a_key_in_two_places_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has 1 key in two places \(one is 'a/1'\)"):
        made(tmp_path, ("a/1.png", png()), ("2.png", png()), ("a/1.png", png()))


def test_names_and_numbers_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labels in tars must be all names"):
        made(
            tmp_path,
            ("1.png", png()),
            ("1.cls", b"1"),
            ("2.png", png()),
            ("2.json", b'{"label": "x"}'),
        )


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names(tmp_path: Path, kind: int) -> None:
    long = f"{'folder/' * 40}é{'x' * 150}.b.png"
    (tmp_path / "x.tar").write_bytes(tar([(long, png(0)), ("2.png", png(1))], kind))
    collection = open_collection(tmp_path / "x.tar")
    assert collection.pictures[0].image == f"x.tar/{long}"
    assert list(collection.read_many(collection.pictures)) == [png(0), png(1)]


def test_what_is_no_picture_is_passed_over_and_counted(tmp_path: Path) -> None:
    buffer = io.BytesIO(
        tar([("1.png", png()), ("2.txt", b"x"), ("README", b""), ("d/._3.png", b"x")])
    )
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("folder.png", tarfile.DIRTYPE)):
            info = tarfile.TarInfo(name)
            info.type = kind
            archive.addfile(info)
    (tmp_path / "x.tar").write_bytes(buffer.getvalue())
    (tmp_path / "empty.tar").write_bytes(tar([]))
    (tmp_path / "x.parquet").write_bytes(b"captions")
    (tmp_path / "y.tar.gz").touch()
    collection = open_collection(tmp_path)
    assert [picture.image for picture in collection.pictures] == ["x.tar/1.png"]
    assert collection.skipped == {
        "sample without a picture": 1,
        "not a picture": 1,
        "hidden": 1,
        "broken link": 1,
        "tar without pictures": 1,
        "compressed tar": 1,
        "Parquet files beside tars": 1,
    }


def test_tars_without_any_picture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no picture in the tars .*skipped: 1 label without a"):
        made(tmp_path, ("1.cls", b"1"))


MEMBERS = [(f"{n}.png", png(n) * 30) for n in range(3)]


@pytest.mark.parametrize("lost", [1, 600, 1500])
def test_a_tar_cut_within_its_last_picture_keeps_the_others(folder: Place, lost: int) -> None:
    whole = tar(MEMBERS)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        last = archive.getmembers()[-1]
    folder.put("x.tar", whole[: last.offset_data + last.size - lost])
    collection = open_collection(folder.url)
    *first, broken = collection.read_many(collection.pictures)
    assert first == [data for _, data in MEMBERS[:2]]
    assert isinstance(broken, ReadError)
    assert str(broken) == "unreadable: x.tar ends within the picture x.tar/2.png"
    assert collection.skipped == {"tar cut off": 1}


@pytest.mark.parametrize("kept", [0, 100])
@pytest.mark.parametrize("name", ["3.png", "x" * 200 + ".png"])
def test_a_tar_cut_at_a_header_keeps_what_is_before(tmp_path: Path, kept: int, name: str) -> None:
    before = tar(MEMBERS)
    with tarfile.open(fileobj=io.BytesIO(before)) as archive:
        archive.getmembers()
        end = archive.offset
    whole = tar([*MEMBERS, (name, png())])
    (tmp_path / "x.tar").write_bytes(whole[: end + kept])
    collection = open_collection(tmp_path)
    assert list(collection.read_many(collection.pictures)) == [data for _, data in MEMBERS]
    assert collection.skipped == {"tar cut off": 1}


def test_a_tar_cut_within_a_label_keeps_the_picture(tmp_path: Path) -> None:
    whole = tar([("1.png", png()), ("1.json", b'{"label": "dog"}')])
    (tmp_path / "x.tar").write_bytes(whole[: whole.index(b'"dog"')])
    assert labels(open_collection(tmp_path)) == [(None, None)]


def test_a_damaged_header_is_an_error_not_the_end(tmp_path: Path) -> None:
    data = bytearray(tar(MEMBERS))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        data[archive.getmembers()[1].offset + 5] ^= 0xFF
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(ValueError, match=r"x.tar is not a whole tar \(byte \d+: bad checksum\)"):
        open_collection(tmp_path)


@pytest.mark.parametrize("data", [b"", gzip.compress(tar(MEMBERS)), b"something else" * 99])
def test_what_is_no_tar(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(
        ValueError, match=r"x.tar is not a whole tar .*expected a plain, uncompressed"
    ):
        open_collection(tmp_path)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.TGZ", "x.tar.zst"])
def test_a_compressed_tar_is_refused(folder: Place, name: str) -> None:
    folder.put(name, b"")
    with pytest.raises(ValueError, match=r"is compressed: .* unpack it to a plain .tar"):
        open_collection(f"{folder.url}/{name}")


def test_listing_does_not_read_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [(f"{n}.png", b"x" * 2**20) for n in range(8)]
    (tmp_path / "x.tar").write_bytes(tar(large))
    read = 0
    with LocalFiles(tmp_path).open("x.tar", 0) as file:
        opened = type(file)

    class Counted(opened):  # type: ignore[misc,valid-type]
        def readinto(self, buffer: bytearray) -> int:
            nonlocal read
            got: int = super().readinto(buffer)
            read += got
            return got

    monkeypatch.setattr(LocalFiles, "open", lambda files, path, size: Counted(files.root / path))
    assert len(open_collection(tmp_path)) == 8
    assert 0 < read < 2**18


def test_listing_on_s3_reads_ahead_but_not_everything(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.samples.pictures import Prefix

    small = [(f"small/{n}.png", png(n)) for n in range(100)]
    Prefix(s3_url).put("x.tar", tar([*small, *((f"{n}.png", b"x" * 4 * 2**20) for n in range(2))]))
    spans: list[Span] = []
    read = S3Files.read
    monkeypatch.setattr(
        S3Files, "read", lambda files, span: [spans.append(span), read(files, span)][1]
    )
    assert len(open_collection(s3_url)) == 102
    assert len(spans) <= 5
    assert sum(span.length or 0 for span in spans) <= 4 * 2**20


def test_a_tar_that_is_replaced_is_noticed(folder: Place) -> None:
    folder.put("x.tar", tar([("1.png", png(1)), ("2.png", png(2))]))
    first = plan(open_collection(folder.url), 2)
    folder.put("y.tar", tar([("1.png", png(3))]))
    assert plan(open_collection(folder.url), 2, first)["image"].to_pylist() == ["y.tar/1.png"]
    folder.put("x.tar", tar([("2.png", png(2)), ("1.png", png(1))]))
    with pytest.raises(ValueError, match=r"2 pictures have changed .*'x.tar/1.png'"):
        plan(open_collection(folder.url), 2, first)
