"""What holds for collections wherever they are; each test runs on a local disk and on S3."""

import errno
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from clipneuron.data import s3_files
from clipneuron.data.files import Span, read_many
from clipneuron.data.opening import ReadError, open_collection
from clipneuron.data.plans import plan
from clipneuron.data.s3_files import S3Files
from clipneuron.store.errors import StoreError
from tests.samples.pictures import Place, fill, png, rows
from tests.samples.servers import use_server


def test_a_folder_is_listed_in_natural_order_and_read(folder: Place) -> None:
    names = ["cat/2.png", "cat/10.PNG", "dog/a b+ü%&?.jpeg", "dog/deep/1.png"]
    fill(folder, *names)
    folder.put("dog/.hidden.png", png())
    folder.put("dog/notes.txt", b"notes")
    collection = open_collection(folder.url)
    pictures = list(collection.pictures)
    assert [picture.image for picture in pictures] == names
    assert [picture.label_name for picture in pictures] == ["cat", "cat", "dog", "dog"]
    assert [picture.size for picture in pictures] == [len(png(n)) for n in range(4)]
    assert list(collection.read_many(pictures)) == [png(n) for n in range(4)]
    assert collection.skipped == {"hidden": 1, "not a picture (.txt)": 1}


def test_labels_come_from_a_list_beside_the_pictures(folder: Place) -> None:
    fill(folder, "1.png", "2.png", "3.png")
    lines = ['{"image": "2.png", "label": 4, "name": "owl"}', '{"image": "gone.png", "label": 1}']
    folder.put("contents.jsonl", "\n".join(lines).encode())
    collection = open_collection(folder.url)
    assert [picture.label for picture in collection.pictures] == [None, 4, None]
    assert collection.label_names == {4: "owl"}
    assert collection.skipped == {"listed but missing": 1}


def test_of_a_picture_that_is_listed_twice_the_last_counts(folder: Place) -> None:
    fill(folder, "1.png")
    folder.put("contents.jsonl", b'{"image": "1.png", "label": 4}\n{"image": "1.png", "label": 5}')
    assert [picture.label for picture in open_collection(folder.url).pictures] == [5]


def test_a_single_picture(folder: Place) -> None:
    fill(folder, "a/one.png", "a/two.png")
    collection = open_collection(f"{folder.url}/a/two.png")
    [picture] = collection.pictures
    assert (picture.image, collection.read(picture)) == ("two.png", png(1))


def test_rows_of_parquet_files(folder: Place) -> None:
    folder.put("part10.parquet", rows(2, start=7, label=["dog", "cat"]))
    folder.put("part9.parquet", rows(7, label=["cat"] * 7))
    collection = open_collection(folder.url)
    assert list(collection.read_many(collection.pictures)) == [png(n) for n in range(9)]
    assert [picture.label for picture in collection.pictures] == [0] * 7 + [1, 0]
    assert len(open_collection(f"{folder.url}/part10.parquet")) == 2


def test_what_is_gone_empty_or_broken_is_a_row(folder: Place) -> None:
    fill(folder, "a.png", "b.png", "c.png")
    collection = open_collection(folder.url)
    folder.delete("a.png")
    folder.put("b.png", b"")
    gone, empty, good = collection.read_many(collection.pictures)
    assert isinstance(gone, ReadError)
    assert isinstance(empty, ReadError)
    assert (gone.status, empty.status, good) == ("missing", "empty", png(2))


def test_rows_whose_file_is_gone_or_replaced(folder: Place) -> None:
    folder.put("1.parquet", rows(1))
    folder.put("2.parquet", rows(1, start=1))
    collection = open_collection(folder.url)
    assert list(collection.read_many(collection.pictures)) == [png(0), png(1)]
    folder.delete("1.parquet")
    folder.put("2.parquet", rows(1, start=5))
    gone, other = collection.read_many(collection.pictures)
    assert isinstance(gone, ReadError)
    assert (gone.status, other) == ("missing", png(5))


def test_a_file_that_is_no_parquet(folder: Place) -> None:
    folder.put("p.parquet", b"PAR1 but no more")
    with pytest.raises(ValueError, match=r"p.parquet is not a readable Parquet file"):
        open_collection(folder.url)


def test_an_empty_place_says_what_it_holds(folder: Place) -> None:
    folder.put("a.txt", b"")
    folder.put("x.tar.gz", b"")
    with pytest.raises(
        ValueError, match=r"no picture in .*found 1 .txt; skipped: 1 compressed tar"
    ):
        open_collection(folder.url)


def test_collections_and_readers_travel_and_are_small(folder: Place) -> None:
    fill(folder, *(f"{n}.png" for n in range(30)))
    other = pickle.loads(pickle.dumps(open_collection(folder.url)))
    assert other.read(other.pictures[1]) == png(1)
    reader = pickle.dumps(other.reader)
    assert len(reader) < 500
    assert list(pickle.loads(reader).read_many(other.pictures[:2])) == [png(0), png(1)]


def test_a_copy_elsewhere_is_the_same_collection(folder: Place, tmp_path: Path) -> None:
    fill(folder, "cat/1.png", "dog/2.png")
    for number, name in enumerate(["cat/1.png", "dog/2.png"]):
        (tmp_path / "copy" / name).parent.mkdir(parents=True)
        (tmp_path / "copy" / name).write_bytes(png(number))
    assert open_collection(folder.url).digest == open_collection(tmp_path / "copy").digest


def test_a_grown_place_is_planned_in_parts(folder: Place) -> None:
    fill(folder, "dog/1.png", "dog/2.png")
    first = plan(open_collection(folder.url), 2)
    folder.put("cat/1.png", png(5))
    part = plan(open_collection(folder.url), 2, first)
    assert part.select(["index", "image", "label", "part"]).to_pylist() == [
        {"index": 2, "image": "cat/1.png", "label": 1, "part": 1}
    ]
    folder.put("dog/1.png", png(0) + b"more")
    with pytest.raises(ValueError, match=r"1 picture has changed .* \('dog/1.png'\)"):
        plan(open_collection(folder.url), 2, first)


def test_a_changed_object_of_the_same_length_is_noticed_on_s3(s3_url: str) -> None:
    bucket = s3_url.removeprefix("s3://")
    put = s3_files.s3_filesystem().pipe_file
    put(f"{bucket}/1.png", b"one")
    first = plan(open_collection(s3_url), 2)
    put(f"{bucket}/1.png", b"two")
    with pytest.raises(ValueError, match="1 picture has changed"):
        plan(open_collection(s3_url), 2, first)


def test_a_listing_longer_than_a_page(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fs = s3_files.s3_filesystem()
    fs.pipe({f"{s3_url}/{n}.png": b"x" for n in range(25)})
    call, asked = fs.call_s3, []

    def paged(method: str, **options: object) -> object:
        asked.append(options)
        return call(method, **options, MaxKeys=10)

    monkeypatch.setattr(fs, "call_s3", paged)
    collection = open_collection(s3_url)
    assert [picture.image for picture in collection.pictures] == [f"{n}.png" for n in range(25)]
    assert len(asked) == 3


def test_reads_on_s3_overlap_and_keep_their_order(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = s3_files.s3_filesystem()
    fs.pipe({f"{s3_url}/{n}.png": b"%d" % n for n in range(60)})
    collection = open_collection(s3_url)
    together, busy, most, lock = threading.Barrier(4), 0, 0, threading.Lock()
    read = S3Files.read

    def watched(files: S3Files, span: Span) -> bytes:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        if int(Path(span.path).stem) < 4:
            together.wait(10)  # passes only if four are read at a time
        data = read(files, span)
        with lock:
            busy -= 1
        return data

    monkeypatch.setattr(S3Files, "read", watched)
    assert list(collection.read_many(collection.pictures)) == [b"%d" % n for n in range(60)]
    assert most <= S3Files.concurrency


def test_whoever_stops_early_leaves_no_request_behind(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_files.s3_filesystem().pipe({f"{s3_url}/{n}.png": b"x" for n in range(99)})
    collection = open_collection(s3_url)
    asked: list[str] = []
    read = S3Files.read
    monkeypatch.setattr(
        S3Files, "read", lambda files, span: [asked.append(span.path), read(files, span)][1]
    )
    results = collection.read_many(collection.pictures)
    assert next(results) == b"x"
    results.close()
    assert len(asked) <= 2 * S3Files.concurrency + 1


@pytest.mark.parametrize("path", ["", "/pictures", "/one.png", "/x.parquet"])
def test_a_bucket_that_does_not_exist_is_said_at_once(s3_url: str, path: str) -> None:
    with pytest.raises(ValueError, match="there is no bucket 'no-such-bucket'"):
        open_collection(f"s3://no-such-bucket{path}")


def test_a_prefix_with_nothing_is_said_at_once(s3_url: str) -> None:
    with pytest.raises(ValueError, match=r"no picture in s3://.*/typo \(found nothing"):
        open_collection(f"{s3_url}/typo")


def test_no_credentials_and_no_server_are_the_stores_trouble(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill_one = s3_files.s3_filesystem().pipe_file
    fill_one(f"{s3_url}/a.png", png())
    collection = open_collection(s3_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        StoreError, match=r"can't list s3://.*: the connection to http://127.0.0.1:9 failed"
    ):
        open_collection(s3_url)
    [trouble] = collection.read_many(collection.pictures)
    assert isinstance(trouble, ReadError)
    assert trouble.status == "unreachable"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        StoreError, match=r"no credentials for S3 were found .* set AWS_ACCESS_KEY_ID"
    ):
        open_collection(s3_url)


@pytest.mark.parametrize("name", ["x.parquet", "x.tar"])
def test_trouble_while_listing_is_the_stores(
    s3_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    s3_files.s3_filesystem().pipe_file(f"{s3_url}/{name}", b"whatever")

    def read(files: S3Files, span: Span) -> bytes:
        raise ConnectionError(errno.EIO, "the store is down")

    monkeypatch.setattr(S3Files, "read", read)
    with pytest.raises(StoreError, match="the store is down"):
        open_collection(s3_url)


class Answers(http.server.BaseHTTPRequestHandler):
    """An S3 that has the `troubles` one after another, and then gives the object b"picture"."""

    troubles: ClassVar[list[str]] = []
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        trouble = self.troubles.pop(0) if self.troubles else ""
        body = b"picture"
        self.send_response(503 if trouble == "busy" else 200)
        self.send_header("Content-Length", str(0 if trouble == "busy" else len(body)))
        self.end_headers()
        if trouble != "busy":
            self.wfile.write(body[:3] if trouble == "cut" else body)
        self.close_connection = bool(trouble)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The troubles that a server is to have; the environment points there."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    use_server(monkeypatch, f"http://127.0.0.1:{server.server_port}", "key", "secret")
    yield Answers.troubles
    Answers.troubles.clear()
    server.shutdown()


@pytest.mark.parametrize("trouble", ["busy", "cut"])
@pytest.mark.slow
def test_a_passing_trouble_of_s3_is_not_seen(answers: list[str], trouble: str) -> None:
    answers.append(trouble)
    assert S3Files("bucket", "").read(Span("1.png")) == b"picture"


@pytest.mark.parametrize("trouble", ["busy", "cut"])
@pytest.mark.slow
def test_a_lasting_trouble_of_s3_is_told_in_bounded_time(answers: list[str], trouble: str) -> None:
    answers += 1000 * [trouble]
    [outcome] = read_many(S3Files("bucket", ""), [Span("1.png")])
    assert isinstance(outcome, ConnectionError)
    assert len(answers) > 980
    assert "s3://bucket/1.png" in outcome.strerror
