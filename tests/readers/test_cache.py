"""Decoded shards that are kept: the same pictures, found by content alone, whole or not at all, within a bound."""

import os
import threading
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from clipneuron.cli import main
from clipneuron.data.opening import open_collection
from clipneuron.engine.pipeline import Pipeline
from clipneuron.engine.stage import Shard
from clipneuron.models.clip.preprocessing.preprocess import Preprocess
from clipneuron.operations.usage.accounts import usage_of
from clipneuron.readers.cache import PixelCache, claimed, key_of, packed, unpacked
from clipneuron.readers.pictures import PictureFeed
from clipneuron.store import traffic
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.objects.opening import open_objects
from clipneuron.store.store import Store
from tests.readers.decoding import Decoding
from tests.samples.pictures import Place, fill, png, rows
from tests.samples.world import quiet_runner, write_pictures

PREPROCESS = Preprocess(size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache.at(str(tmp_path / "cache"))


def loaded(url, cache, preprocess=PREPROCESS):
    """The collection as one shard, and how many of its pictures were found decoded."""
    collection = open_collection(url)
    feed = PictureFeed(collection.reader, preprocess, cache=cache)
    before = traffic.so_far().cached
    batch = feed.load(Shard("all", len(collection), collection.listing))
    return batch, traffic.so_far().cached - before


def check_same(one, other):
    assert np.array_equal(one.pixels, other.pixels)
    assert one.pixels.dtype == other.pixels.dtype
    for name in ("pictures", "good", "failures", "notes", "sizes"):
        assert getattr(one, name) == getattr(other, name)
    assert {name: column.to_pylist() for name, column in one.rows().items()} == {
        name: column.to_pylist() for name, column in other.rows().items()
    }


def kept(cache):
    return sorted(Path(cache.url, "pixels").iterdir())


def test_what_is_kept_is_what_was_decoded_with_its_failures_and_notes(tmp_path, cache):
    folder = write_pictures(tmp_path / "pictures")
    (folder / "006.png").write_bytes(b"<html>")
    plain, _ = loaded(folder, None)
    for spared in (0, 12, 12):
        found, count = loaded(folder, cache)
        check_same(found, plain)
        assert count == spared
    assert [failure.image for failure in plain.failures] == ["005.png", "006.png"]
    assert plain.notes, "a picture of one colour is among them"


def test_a_place_is_no_part_of_the_key_and_every_content_is(tmp_path, cache):
    folder = write_pictures(tmp_path / "pictures")
    loaded(folder, cache)
    moved = folder.rename(tmp_path / "moved")
    assert loaded(moved, cache)[1] == 12
    status = (moved / "003.png").stat()
    data = bytearray((moved / "003.png").read_bytes())
    data[-20] ^= 1  # of the same length and age, and not the same picture
    (moved / "003.png").write_bytes(data)
    os.utime(moved / "003.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    found, count = loaded(moved, cache)
    assert count == 0
    check_same(found, loaded(moved, None)[0])


@pytest.mark.parametrize(
    "change",
    [{"size": (6, 6)}, {"interpolation": "bilinear"}, {"high_depth": "scale"}, {"max_pixels": 99}],
)
def test_another_transform_has_other_pixels(tmp_path, cache, change):
    folder = write_pictures(tmp_path / "pictures")
    loaded(folder, cache)
    other = replace(PREPROCESS, **change)
    found, count = loaded(folder, cache, other)
    assert count == 0
    check_same(found, loaded(folder, None, other)[0])


def test_normalisation_comes_after_what_is_kept(tmp_path, cache):
    folder = write_pictures(tmp_path / "pictures")
    loaded(folder, cache)
    assert loaded(folder, cache, replace(PREPROCESS, mean=(0.5,) * 3))[1] == 12


DAMAGES = {
    "a bit": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "half of it": lambda data: data[: len(data) // 2],
    "nothing": lambda data: b"",
    "something else": lambda data: b"x" * 200,
    "longer": lambda data: data + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_decoded_again_and_replaced(tmp_path, cache, damage):
    folder = write_pictures(tmp_path / "pictures")
    plain, _ = loaded(folder, cache)
    (path,) = kept(cache)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    for spared in (0, 12):
        found, count = loaded(folder, cache)
        check_same(found, plain)
        assert count == spared


def test_a_picture_that_cannot_be_read_is_not_remembered(tmp_path, cache):
    folder = write_pictures(tmp_path / "pictures")
    collection = open_collection(folder)
    feed = PictureFeed(collection.reader, PREPROCESS, cache=cache)
    gone = (folder / "002.png").rename(tmp_path / "002.png")
    shard = Shard("all", len(collection), collection.listing)
    assert feed.load(shard).failures[0].image == "002.png"
    assert not Path(cache.url, "pixels").exists()
    gone.rename(folder / "002.png")
    assert [failure.image for failure in feed.load(shard).failures] == ["005.png"]


def test_pictures_in_buckets_are_found_by_content_without_being_read(folder: Place, cache):
    fill(folder, "0.png", "1.png", "2.png")
    for spared in (0, 3):
        before = traffic.so_far().reads
        assert loaded(folder.url, cache)[1] == spared
    listed = traffic.so_far().reads - before
    assert listed < 3 + 2 or not folder.url.startswith("s3:")
    folder.put("2.png", b"broken")
    found, count = loaded(folder.url, cache)
    assert count == 0
    assert [failure.image for failure in found.failures] == ["2.png"]


def test_what_was_replaced_since_it_was_listed_is_not_kept_as_what_was_listed(folder: Place, cache):
    fill(folder, "0.png", "1.png")
    collection = open_collection(folder.url)
    feed = PictureFeed(collection.reader, PREPROCESS, cache=cache)
    folder.put("1.png", png(1)[:-1] + b"\0")
    batch = feed.load(Shard("all", 2, collection.listing))
    assert len(batch.pictures) == 2
    folder.put("1.png", png(1))
    assert loaded(folder.url, cache)[1] == 0


def test_rows_of_a_parquet_file_are_known_by_their_bytes(tmp_path, cache):
    (tmp_path / "rows.parquet").write_bytes(rows(4))
    for spared in (0, 4):
        assert loaded(str(tmp_path / "rows.parquet"), cache)[1] == spared


def test_a_cache_may_lie_in_a_bucket(place: str, tmp_path):
    cache = PixelCache.at(f"{place}/cache")
    folder = write_pictures(tmp_path / "pictures")
    assert [loaded(folder, cache)[1] for _ in "12"] == [0, 12]


def test_a_bound_holds_whatever_the_order_of_writers(tmp_path, monkeypatch):
    """All claims are made before any of them is added up: the worst order there is."""
    pixels = np.zeros((2, 3, 8, 8), np.uint8)
    size, writers = len(packed({}, pixels)), 6
    cache = PixelCache(str(tmp_path / "cache"), 3 * size)
    together = threading.Barrier(writers)
    put = LocalObjects.put

    def meeting(objects, key, data):
        put(objects, key, data)
        if key.startswith("reserved/"):
            together.wait(20)

    monkeypatch.setattr(LocalObjects, "put", meeting)
    keys = [key_of(number) for number in range(writers)]
    done = threading.Semaphore(0)
    taken = []

    def write(key):
        taken.append(cache.put(key, {}, pixels))
        done.release()

    for key in keys:
        threading.Thread(target=write, args=(key,), daemon=True).start()
    assert all(done.acquire(timeout=20) for _ in keys)
    objects = open_objects(cache.url)
    stored = sum(entry.size for entry in objects.entries("pixels/"))
    assert stored <= 3 * size
    assert stored == sum(taken) * size
    monkeypatch.undo()
    results = [cache.put(key, {}, pixels) for key in keys]
    assert sum(results) == 3, "one after another, they fill the bound"
    assert claimed(objects) == 3 * size
    assert sum(entry.size for entry in objects.entries("pixels/")) == 3 * size


def test_a_place_in_trouble_costs_the_cache_alone(tmp_path, cache, monkeypatch, caplog):
    def broken(*_):
        raise StoreError("no space is left")

    folder = write_pictures(tmp_path / "pictures")
    monkeypatch.setattr(LocalObjects, "put", broken)
    found, count = loaded(folder, cache)
    check_same(found, loaded(folder, None)[0])
    assert count == 0
    assert "not kept: no space is left" in caplog.text


def test_usage_and_status_say_how_many_pictures_were_found_decoded(tmp_path, cache, capsys):
    collection = open_collection(write_pictures(tmp_path / "pictures"))
    feed = PictureFeed(collection.reader, PREPROCESS, cache=cache)
    Pipeline((Decoding(feed, collection.listing[:4]),)).run(
        quiet_runner(), Store(tmp_path / "cold").open_run("r", {})
    )
    run = Store(tmp_path / "warm").open_run("r", {})
    Pipeline((Decoding(feed, collection.listing),)).run(quiet_runner(), run)
    by_markers = run.progress("decoding", within=60).cached_rows
    run.write_manifest("decoding")
    assert run.progress("decoding", within=60).cached_rows == by_markers == 4
    assert usage_of(run).total.cached == 4
    shown = {}
    for verb, store in product(("usage", "status"), ("cold", "warm")):
        main([verb, "--store", str(tmp_path / store)])
        lines = capsys.readouterr().out.splitlines()
        heading, row = (
            next(line for line in lines if word in line) for word in (" rows ", " decoding ")
        )
        shown[verb, store] = "cached" in heading, row.strip(" │").split()[-1]
    assert {place: column for place, (column, _) in shown.items()} == {
        place: place[1] == "warm" for place in shown
    }
    assert {shown[verb, "warm"][1] for verb in ("usage", "status")} == {"4"}


def test_bytes_survive_packing():
    pixels = np.arange(96, dtype=np.uint8).reshape(2, 3, 4, 4)
    about, found = unpacked(packed({"notes": {"å": "b"}}, pixels))
    assert about == {"notes": {"å": "b"}}
    assert np.array_equal(found, pixels)
