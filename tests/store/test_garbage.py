"""Only what no reader can see is garbage, by the store's clock, and it alone is removed."""

import os
import time
from pathlib import Path

import pytest

from clipneuron.store.objects.local import LocalObjects
from clipneuron.store.objects.s3 import S3Objects
from clipneuron.store.objects.s3_client import s3_filesystem
from clipneuron.store.store import Run
from tests.samples.tables import data_keys, means, new_run, values

LOST = "data/calibrate/00001/means-lost.parquet"


@pytest.fixture
def run(place: str) -> Run:
    """A committed shard, and the object of an attempt at another that died before its marker."""
    run = new_run(place)
    run.commit("calibrate", "00000", {"means": means(1.0)})
    run.objects.put(LOST, b"12345")
    return run


def test_what_no_marker_names_is_garbage(run: Run) -> None:
    [garbage] = run.garbage(older_than=0)
    assert (garbage.key, garbage.size) == (LOST, 5)
    assert 0 <= garbage.age < 60
    assert run.remove([garbage]) == 1
    assert run.garbage(older_than=0) == []
    assert values(run) == {1.0}
    assert run.verify() == []


def test_what_is_young_may_still_be_committed(run: Run) -> None:
    assert run.garbage(older_than=3600) == []


def test_what_was_committed_meanwhile_stays(run: Run) -> None:
    garbage = run.garbage(older_than=0)
    marker = run.objects.get("commits/calibrate/00000.json")
    named = data_keys(run)[0].encode()
    run.objects.put("commits/calibrate/00001.json", marker.replace(named, LOST.encode()))
    assert run.remove(garbage) == 0
    assert run.objects.size(LOST) == 5


def test_the_loser_of_a_race_is_garbage_and_the_winner_is_not(run: Run) -> None:
    run.objects.put("data/calibrate/00000/means-second.parquet", b"")
    run.write_manifest("calibrate")
    assert [item.key for item in run.garbage(0)] == [
        "data/calibrate/00000/means-second.parquet",
        LOST,
    ]
    run.remove(run.garbage(0))
    assert len(data_keys(run)) == 1
    assert values(run) == {1.0}


def test_what_a_damaged_marker_may_name_is_no_garbage_and_the_rest_is(run: Run) -> None:
    run.objects.put("commits/calibrate/00000.json", b"{")
    run.objects.put("data/calibrate/00009/means-lost.parquet", b"12345")
    found = [item.key for item in run.garbage(0)]
    assert "data/calibrate/00009/means-lost.parquet" in found
    assert not [key for key in found if "/00000/" in key]
    run.remove(run.garbage(0))
    assert [key for key in data_keys(run) if "/00000/" in key]


def test_records_of_attempts_at_shards_that_are_done_go_and_others_stay(run: Run) -> None:
    run.started("calibrate", "00000")
    run.started("calibrate", "00009")
    run.remove(run.garbage(0))
    [left] = run.objects.list("attempts/")
    assert left.startswith("attempts/calibrate/00009/")


def test_a_half_written_file_is_garbage_when_it_is_old(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert isinstance(run.objects, LocalObjects)
    torn = run.objects.root / ".partial" / "torn"
    torn.write_bytes(b"half")
    os.utime(torn, (time.time() - 7200,) * 2)
    [garbage] = run.garbage(older_than=3600)
    assert (garbage.key, garbage.size, garbage.age > 7000) == (".partial/torn", 4, True)
    assert run.remove([garbage]) == 1
    assert not torn.exists()


def test_an_upload_that_never_ended_is_garbage(s3_url: str) -> None:
    run = new_run(s3_url)
    assert isinstance(run.objects, S3Objects)
    place = {"Bucket": run.objects.bucket, "Key": f"{run.objects.prefix}/{LOST}"}
    call = s3_filesystem().call_s3
    upload = place | {"UploadId": call("create_multipart_upload", **place)["UploadId"]}
    call("upload_part", **upload, PartNumber=1, Body=b"12345")
    [garbage] = [item for item in run.garbage(0) if item.unfinished]
    assert (garbage.key, garbage.size) == (LOST, 5)
    assert run.remove([garbage]) == 1
    assert run.remove([garbage]) == 1, "one that is gone is no error"
    assert run.garbage(0) == []


def test_a_host_whose_clock_is_wrong_removes_nothing_young(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    future = time.time() + 10**7
    monkeypatch.setattr(time, "time", lambda: future)
    assert run.garbage(older_than=3600) == []


def test_a_store_whose_clock_is_wrong_is_measured_by_its_own(tmp_path: Path) -> None:
    class YearsAgo(LocalObjects):
        def present(self) -> float:
            return super().present() - 10**8

    run = new_run(tmp_path)
    run.objects.put(LOST, b"")
    path = Path(run.objects.location(LOST))
    old = path.stat().st_mtime - 10**8
    os.utime(path, (old, old))
    assert isinstance(run.objects, LocalObjects)
    skewed = Run(YearsAgo(run.objects.root), run.record)
    assert skewed.garbage(older_than=3600) == []
    [garbage] = skewed.garbage(older_than=0)
    assert garbage.age < 60
