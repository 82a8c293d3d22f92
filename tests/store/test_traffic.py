"""Requests and bytes that a process asks of places, alike on a disk and on S3."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clipneuron.data.files import LocalFiles, Span
from clipneuron.store import traffic
from clipneuron.store.errors import ObjectMissingError
from clipneuron.store.objects.opening import open_objects
from clipneuron.store.records import Usage
from clipneuron.store.store import Store
from clipneuron.store.traffic import Lap, Traffic
from tests.faults.light import Light, LightWorker, light_run


def test_every_operation_on_objects_is_a_request(place: str) -> None:
    objects = open_objects(place)
    asked = Lap()
    objects.put("a", b"12345")
    assert objects.create("b", b"123")
    assert asked.take() == Traffic(writes=2)
    assert objects.get("a") == b"12345"
    assert objects.dated("b").data == b"123"
    assert objects.size("b") == 3
    assert asked.take() == Traffic(reads=3, bytes_read=8)
    assert list(objects.list("")) == ["a", "b"]
    assert asked.take() == Traffic(reads=1)
    with pytest.raises(ObjectMissingError):
        objects.get("none")
    assert asked.take() == Traffic(reads=1)
    objects.delete("a")
    assert asked.take() == Traffic(writes=1)


def test_a_part_of_a_table_is_counted_as_the_bytes_that_were_read(place: str) -> None:
    run = Store(place).open_run("light", {})
    table = LightWorker(0.5).process(0, lambda rows: None).tables["text_embeddings"]
    whole, asked = run.commit("s", "0", {"text_embeddings": table}).size, Lap()
    run.read("s", "text_embeddings", shards=["0"])
    marker = asked.take().bytes_read - whole
    assert marker > 0
    run.read("s", "text_embeddings", shards=["0"], columns=["text_index"])
    assert 0 < asked.take().bytes_read - marker < 2 * whole


def test_files_of_pictures_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    files, asked = LocalFiles(tmp_path), Lap()
    assert files.read(Span("a")) == b"0123456789"
    assert files.read(Span("a", 2, 3)) == b"234"
    assert asked.take() == Traffic(reads=2, bytes_read=13)
    with files.open("a", 10) as file:
        file.seek(4)
        assert file.read(2) == b"45"
        assert file.readinto(bytearray(8)) == 4
        assert file.readall() == b""
    assert asked.take() == Traffic(reads=3, bytes_read=6)


def test_what_is_ahead_is_not_counted_twice() -> None:
    asked = Lap()
    traffic.read(5)
    assert asked.take(ahead=Traffic(writes=1)) == Traffic(reads=1, writes=1, bytes_read=5)
    traffic.wrote()
    assert asked.take() == Traffic()
    traffic.read(3)
    asked.drop()
    assert asked.take() == Traffic()


def test_threads_lose_no_count() -> None:
    asked = Lap()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(traffic.read, [1] * 2000))
    assert asked.take() == Traffic(reads=2000, bytes_read=2000)


def test_a_commit_has_the_traffic_of_its_attempt_and_no_other(tmp_path: Path) -> None:
    asked = Lap()
    run = light_run(tmp_path, Light(3))
    everything = asked.take()
    usages = [commit.usage for commit in run.committed("light").values()]
    assert all(usage and usage.writes == 3 for usage in usages), "record, object, marker"
    assert sum(usage.reads or 0 for usage in usages if usage) <= everything.reads
    assert all(usage and usage.reads for usage in usages), "the look whether it is done"


def test_usage_of_several_processes_adds_up() -> None:
    assert Usage().reads is None
    loaded = Usage(load=1).with_traffic(Traffic(reads=2, bytes_read=10))
    both = loaded.with_traffic(Traffic(reads=1, writes=3, bytes_read=5))
    assert (both.load, both.reads, both.writes, both.bytes_read) == (1, 3, 3, 15)
