"""Whose fault it is that a picture can't be read: its own, or that of its place."""

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from clipneuron.attack.answers import Answers
from clipneuron.data.files import LocalFiles, Span
from clipneuron.data.opening import open_collection
from clipneuron.data.trouble import Judge
from clipneuron.engine import runner as running
from clipneuron.engine.runner import Runner
from clipneuron.engine.stage import Shard
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.readers.pictures import PictureFeed
from clipneuron.store.errors import UNREACHABLE, PlaceError, ReadError
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.outlines import Cut
from clipneuron.store.store import Store
from tests.engine.fakes import Fake
from tests.faults.proxy import Proxy
from tests.faults.proxy import running as in_front_of
from tests.samples.pictures import Folder, Prefix, fill, rows
from tests.samples.servers import new_bucket, use_server
from tests.samples.world import write_pictures

PREPROCESS = Preprocess(size=(2, 2), mean=(0.0,) * 3, std=(1.0,) * 3)


def feed_of(url: str) -> tuple[PictureFeed, Shard]:
    collection = open_collection(url)
    feed = PictureFeed(collection.reader, PREPROCESS, threads=1)
    return feed, Shard("all", len(collection), collection.listing)


@pytest.fixture
def pictures(tmp_path: Path) -> Folder:
    place = Folder(str(tmp_path / "pictures"))
    fill(place, *(f"{number}.png" for number in range(6)))
    return place


def failing(monkeypatch: pytest.MonkeyPatch, number: int, *names: str) -> None:
    """Reading these files, or all, meets an error of the system."""
    read = LocalFiles.read

    def broken(files: LocalFiles, span: Span) -> bytes:
        if not names or span.path in names:
            raise OSError(number, os.strerror(number), span.path)
        return read(files, span)

    monkeypatch.setattr(LocalFiles, "read", broken)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENAMETOOLONG])
def test_a_file_that_fails_while_others_can_be_read_is_a_row(
    pictures: Folder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    feed, shard = feed_of(pictures.url)
    failing(monkeypatch, number, "2.png")
    batch = feed.load(shard)
    [failure] = batch.failures
    assert (failure.image, failure.status) == ("2.png", "unreadable")
    assert len(batch.good) == 5


@pytest.mark.parametrize(
    "number",
    [errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EMFILE, errno.ENODEV],
)
def test_what_every_file_would_meet_is_the_places(
    pictures: Folder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    feed, shard = feed_of(pictures.url)
    failing(monkeypatch, number, "2.png")
    with pytest.raises(PlaceError, match=f"cannot be reached: 2.png: {os.strerror(number)}"):
        feed.load(shard)


def test_a_disk_that_was_unmounted_is_the_places(pictures: Folder) -> None:
    feed, shard = feed_of(pictures.url)
    for path in Path(pictures.url).iterdir():
        path.unlink()
    with pytest.raises(PlaceError, match="is empty now: check whether its disk is still mounted"):
        feed.load(shard)
    Path(pictures.url).rmdir()
    with pytest.raises(PlaceError, match=r"cannot be looked into any more \(No such file"):
        feed.load(shard)


def test_where_nothing_can_be_read_any_more_it_is_the_places(
    pictures: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, shard = feed_of(pictures.url)

    def broken(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    failing(monkeypatch, errno.EIO, "2.png")
    monkeypatch.setattr("clipneuron.data.files.open", broken, raising=False)
    with pytest.raises(
        PlaceError, match=r"nothing in .* can be read any more \(Input/output error"
    ):
        feed.load(shard)


def test_rows_of_a_parquet_file_on_a_lost_disk_are_no_rows(tmp_path: Path) -> None:
    place = Folder(str(tmp_path / "rows"))
    place.put("a.parquet", rows(3))
    place.put("b.parquet", rows(3, start=3))
    collection = open_collection(place.url)
    place.delete("a.parquet")
    statuses = [
        r.status if isinstance(r, ReadError) else ""
        for r in collection.read_many(collection.pictures)
    ]
    assert statuses == 3 * ["missing"] + 3 * [""]
    place.delete("b.parquet")
    outcomes = list(collection.read_many(collection.pictures))
    assert {isinstance(r, ReadError) and r.status for r in outcomes} == {UNREACHABLE}


def test_a_place_is_looked_at_once_however_many_files_fail(
    pictures: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[LocalFiles] = []
    monkeypatch.setattr(LocalFiles, "look", lambda files: looked.append(files))
    judge = Judge(LocalFiles(Path(pictures.url)))
    for number in range(9):
        error = PermissionError(errno.EACCES, "Permission denied")
        assert judge.verdict(error, f"{number}.png").status == "unreadable"
    assert len(looked) == 1


def test_a_folder_behind_a_link_is_looked_into_as_it_is_listed(tmp_path: Path) -> None:
    write_pictures(tmp_path / "elsewhere", 3)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "pictures")
    collection = open_collection(tmp_path / "pictures")
    (tmp_path / "elsewhere" / "001.png").unlink()
    [_, lost, _] = collection.read_many(collection.pictures)
    assert isinstance(lost, ReadError)
    assert lost.status == "missing"


def test_a_runs_folder_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    run = Store(tmp_path / "store").open_run("fake", {})
    stage = Fake()
    (tmp_path / "store").rename(tmp_path / "unmounted")
    with pytest.raises(PlaceError, match="is not there any more"):
        run.commit("fake", "a", {})
    with pytest.raises(PlaceError, match="is not there any more"):
        run.started("fake", "a")
    with pytest.raises(PlaceError, match="is not there any more"):
        run.announce(Cut.of("fake", "texts", [("a", 2)], 3))
    with pytest.raises(PlaceError, match="is not there any more"):
        Answers(run.objects).keep({"prompt": "p"}, "an answer")
    assert not (tmp_path / "store").exists()
    (tmp_path / "unmounted").rename(tmp_path / "store")
    Runner(console=Console(file=io.StringIO())).run_stage(stage, run)  # type: ignore[arg-type]
    assert isinstance(run.objects, LocalObjects)


# On S3, behind a proxy that refuses as S3 does.


@pytest.fixture
def proxy(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with in_front_of(moto_server) as started:
        use_server(monkeypatch, started.endpoint, "test", "test")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("CLIPNEURON_S3_RETRY_SECONDS", "0")
        yield started


@pytest.fixture
def bucket(proxy: Proxy) -> str:
    url = new_bucket()
    fill(Prefix(url), *(f"{number}.png" for number in range(6)))
    return url


process = pytest.mark.process


@process
@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        ("ExpiredToken", "does not accept the credentials .ExpiredToken.*renew them"),
        ("InvalidToken", "does not accept the credentials"),
        ("InvalidAccessKeyId", "does not accept the credentials"),
        ("RequestTimeTooSkewed", "does not accept the time of this machine .*set its clock"),
        ("AccessDenied", "access denied"),
        ("NoSuchBucket", "there is no bucket"),
        ("503", "kept failing .SlowDown"),
    ],
)
def test_what_every_object_meets_is_the_places(
    proxy: Proxy, bucket: str, refusal: str, says: str
) -> None:
    feed, shard = feed_of(bucket)
    proxy.add(refusal, "GET", times=10**6, match=".png")
    with pytest.raises(PlaceError, match=says):
        feed.load(shard)
    proxy.faults.clear()
    assert not feed.load(shard).failures


@process
@pytest.mark.parametrize("refusal", ["AccessDenied", "InvalidObjectState"])
def test_one_object_that_is_forbidden_while_others_can_be_read_is_a_row(
    proxy: Proxy, bucket: str, refusal: str
) -> None:
    feed, shard = feed_of(bucket)
    proxy.add(refusal, "GET", times=10**6, match="3.png")
    [failure] = feed.load(shard).failures
    assert (failure.image, failure.status) == ("3.png", "unreadable")
    assert refusal in failure.reason


@process
def test_a_run_stops_over_expired_credentials_and_goes_on_with_fresh_ones(
    proxy: Proxy, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PAUSE", 0.0)
    feed, shard = feed_of(bucket)
    images = {name: shard.payload.slice(2 * n, 2) for n, name in enumerate("abc")}

    class Reads(Fake):
        """Reads two pictures per shard."""

        def load(self, own: Shard) -> str:
            assert not feed.load(Shard(own.name, 2, images[own.name])).failures
            return own.name

    run = Store(tmp_path / "store").open_run("fake", {})
    work = Runner(console=Console(file=io.StringIO()))
    proxy.add("ExpiredToken", "GET", times=10**6, match="3.png")
    with pytest.raises(PlaceError, match=r"ExpiredToken.*Nothing was recorded.*the same command"):
        work.run_stage(Reads(), run)  # type: ignore[arg-type]
    assert run.failures("fake") == {}
    assert "b" not in run.done("fake")
    assert run.in_flight("fake", 1e9) == []
    proxy.faults.clear()
    assert work.run_stage(Reads(), run).failed_rows == 0  # type: ignore[arg-type]
    assert run.done("fake") == {"a", "b", "c"}
