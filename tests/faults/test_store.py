"""A store in trouble: an undisturbed run's tables, row for row, or a clear error in bounded time."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.config import conf

from clipneuron.store import records
from clipneuron.store.errors import StoreError
from clipneuron.store.objects import s3 as s3_objects
from clipneuron.store.objects import s3_uploads
from clipneuron.store.objects.opening import open_objects
from clipneuron.store.objects.s3 import S3Objects
from clipneuron.store.store import Run, Store
from tests.faults.proxy import Proxy, running
from tests.samples.servers import new_bucket, use_server
from tests.samples.tables import IDENTITY, data_keys, means, new_run, values

SHARDS = ("00000", "00001", "00002")


@pytest.fixture
def proxy(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of a store; this process talks to the store through it, and waits one second."""
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": 1}})
    monkeypatch.setenv("CLIPNEURON_S3_RETRY_SECONDS", "20")
    with running(moto_server) as proxy:
        use_server(monkeypatch, proxy.endpoint, "test", "test")
        yield proxy


@pytest.fixture
def run(proxy: Proxy) -> Run:
    return new_run(f"{new_bucket()}/runs")


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries, the store's client and its library wait a fiftieth of what they mean to."""
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds, *more: sleep(seconds / 50, *more))


def work(run: Run) -> pa.Table:
    """The rows of a small run, committed, listed in a manifest and read back in two ways."""
    for value, shard in enumerate(SHARDS):
        run.commit("calibrate", shard, {"means": means(float(value))}, attempt=f"by-{shard}")
    run.write_manifest("calibrate")
    whole = run.read("calibrate", "means")
    assert run.read("calibrate", "means", columns=["neuron"]) == whole.select(["neuron"])
    return whole


PLACES = {
    "PUT": ("commits/", "data/", "manifest/"),
    "GET": ("commits/", "data/", "manifest/", "list-type"),
    "HEAD": ("data/",),
}
FAULTS = [(kind, method) for kind in ("500", "503", "reset", "lost") for method in PLACES]


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize(("kind", "method"), [*FAULTS, ("truncated", "GET"), ("flipped", "GET")])
def test_passing_trouble_changes_no_row(
    run: Run, proxy: Proxy, tmp_path: Path, kind: str, method: str
) -> None:
    faults = [proxy.add(kind, method, times=2, match=place) for place in PLACES[method]]
    assert work(run).equals(work(new_run(tmp_path)))
    assert {s: c.attempt for s, c in run.committed("calibrate").items()} == {
        shard: f"by-{shard}" for shard in SHARDS
    }
    assert run.verify() == []
    assert len(data_keys(run)) == len(SHARDS), "something was doubled"
    assert [fault.met for fault in faults] == [2] * len(faults), "a fault did not happen"


def test_a_lost_answer_to_a_failure_record_does_not_count_it_twice(run: Run, proxy: Proxy) -> None:
    fault = proxy.add("lost", "PUT", match="failures/")
    assert run.record_failure("calibrate", "00000", ValueError("no")) == 1
    assert fault.met == 1
    assert len(run.failures("calibrate")["00000"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("503", "PUT", "kept failing .SlowDown"),
        ("500", "PUT", "kept failing .InternalError"),
        ("reset", "PUT", "the connection to http://127.0.0.1.* failed"),
        ("stall", "PUT", "did not answer in time"),
        ("truncated", "GET", "the connection to .* failed"),
    ],
)
def test_lasting_trouble_is_an_error_in_bounded_time(
    run: Run, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, kind: str, method: str, words: str
) -> None:
    run.objects.put("data/there", b"0123456789")
    monkeypatch.setenv("CLIPNEURON_S3_RETRY_SECONDS", "1")
    proxy.add(kind, method, times=10**6)
    ask = {
        "PUT": lambda: run.commit("calibrate", "00000", {"means": means(1.0)}),
        "GET": lambda: run.objects.get("data/there"),
    }
    start = time.monotonic()
    with pytest.raises(StoreError, match=words):
        ask[method]()
    assert time.monotonic() - start < 40
    proxy.faults.clear()
    run.commit("calibrate", "00000", {"means": means(2.0)})
    assert values(run) == {2.0}


def test_a_store_that_ignores_create_only_writes_gets_no_run(proxy: Proxy) -> None:
    bucket = new_bucket()
    proxy.unconditional = True
    with pytest.raises(StoreError, match="does not honour create-only writes"):
        Store(bucket).open_run("demo", IDENTITY)
    assert list(open_objects(bucket).list("")) == []


def test_an_upload_in_parts_survives_trouble_and_is_aborted_when_it_fails(
    run: Run, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_uploads, "PART", 5 * 2**20)
    monkeypatch.setattr(s3_objects, "_WHOLE", 10 * 2**20)
    data = bytes(range(256)) * (12 * 2**12)
    fault = proxy.add("500", "PUT", times=2, match="partNumber")
    run.objects.put("data/large", data)
    assert fault.met == 2
    assert run.objects.get("data/large") == data
    monkeypatch.setenv("CLIPNEURON_S3_RETRY_SECONDS", "0")
    proxy.add("500", "PUT", times=10**6, match="partNumber=2")
    with pytest.raises(StoreError, match="kept failing"):
        run.objects.put("data/larger", data)
    assert list(run.objects.leftovers()) == []
    assert run.objects.size("data/larger") is None


def test_a_bucket_that_is_not_there_is_refused_in_one_sentence(proxy: Proxy) -> None:
    with pytest.raises(StoreError, match="there is no bucket 'no-such-bucket' at http://127"):
        Store("s3://no-such-bucket/runs")


def test_a_store_that_cannot_be_reached_is_told_with_its_address(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CLIPNEURON_S3_RETRY_SECONDS", "1")
    with pytest.raises(
        StoreError, match=r"the connection to http://127.0.0.1:1 failed .*AWS_ENDPOINT_URL"
    ):
        Store("s3://bucket/runs")


def test_an_address_that_is_none_is_told(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    monkeypatch.setenv("CLIPNEURON_S3_RETRY_SECONDS", "0")
    with pytest.raises(StoreError, match=r"Invalid endpoint: nonsense.*AWS_ENDPOINT_URL"):
        Store("s3://bucket/runs")


def test_missing_credentials_are_told(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(StoreError, match=r"no credentials for S3 were found .*AWS_ACCESS_KEY_ID"):
        Store("s3://bucket/runs")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreError, match="nobody"):
        Store("s3://bucket/runs")


def test_a_zombie_that_commits_late_changes_no_view(run: Run) -> None:
    create, seen = S3Objects.create, []

    with pytest.MonkeyPatch.context() as patched:

        def stalled(self: S3Objects, key: str, data: bytes) -> bool:
            patched.undo()
            run.commit("calibrate", "00000", {"means": means(1.0)}, attempt="quick")
            seen.append(run.read("calibrate", "means"))
            return create(self, key, data)

        patched.setattr(S3Objects, "create", stalled)
        late = run.commit("calibrate", "00000", {"means": means(2.0)}, attempt="zombie")
    assert late.attempt == "quick"
    assert run.read("calibrate", "means").equals(seen[0])
    assert len(data_keys(run)) == 2
    run.remove(run.garbage(0))
    assert len(data_keys(run)) == 1
    assert run.verify() == []


@pytest.mark.parametrize("year", ["1999", "2199"])
def test_hosts_with_wrong_clocks_change_nothing(run: Run, year: str) -> None:
    before = work(run)
    for key in list(run.objects.list("commits/")):
        marker = json.loads(run.objects.get(key))
        del marker["digest"]
        marker["committed_at"] = year + marker["committed_at"][4:]
        run.objects.put(key, json.dumps(records.sealed(marker)).encode())
    assert run.read("calibrate", "means").equals(before)
    assert run.garbage(0) == []
    assert run.write_manifest("calibrate")
    assert run.read("calibrate", "means").equals(before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a mebibyte; the test is skipped where none may be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can't be mounted here (needs root)")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def commit_for_ever(run: Run) -> None:
    for number in count():
        run.commit("calibrate", f"{number:05d}", {"means": means(float(number))})


def test_a_disk_that_is_full_is_told_and_shows_nothing_half_written(small_disk: Path) -> None:
    run = new_run(small_disk)
    with pytest.raises(StoreError, match=r"No space left on device.*free some space"):
        commit_for_ever(run)
    done = run.committed("calibrate")
    assert done
    assert run.verify() == []
    assert values(run) == {float(shard) for shard in done}
    assert list(run.objects.leftovers()) == []
