"""What moto can't show, on Ceph's S3: signatures that are checked, and another store's dialect of errors."""

from typing import Any

import pyarrow.compute as pc
import pytest

from clipneuron.store.errors import ObjectMissingError, StoreError
from clipneuron.store.objects import s3 as s3_objects
from clipneuron.store.objects.opening import open_objects, probe
from clipneuron.store.store import Store
from tests.samples.processes import barrier, run_together
from tests.samples.tables import data_keys, means, new_run, values

pytestmark = pytest.mark.slow

SHARDS = ("00000", "00001", "00002")


def race(url: str, everyone: Any, number: int) -> list[str]:
    """Commits every shard and tells who won each."""
    run = new_run(url)
    won = []
    for shard in SHARDS:
        everyone.wait(120)
        commit = run.commit(
            "calibrate", shard, {"means": means(float(number))}, attempt=f"r{number}"
        )
        won.append(commit.attempt)
    return won


def test_racing_processes_agree_on_one_commit_per_shard(ceph_url: str) -> None:
    everyone = barrier(4)
    told = run_together(race, [(ceph_url, everyone, number) for number in range(4)])
    run = new_run(ceph_url)
    assert all(views == [c.attempt for c in run.committed("calibrate").values()] for views in told)
    assert list(run.committed("calibrate")) == list(SHARDS)
    assert run.verify() == []
    run.remove(run.garbage(0))
    assert len(data_keys(run)) == len(SHARDS)
    assert run.write_manifest("calibrate")
    assert not run.write_manifest("calibrate")


def test_create_only_writes_are_honoured(ceph_url: str) -> None:
    objects = open_objects(ceph_url)
    probe(objects)
    assert objects.create("a", b"one")
    assert not objects.create("a", b"two")
    assert objects.get("a") == b"one"
    with pytest.raises(ObjectMissingError):
        objects.get("b")
    assert [entry.key for entry in objects.entries("")] == ["a"]


def test_conditional_replacement_is_honoured(ceph_url: str) -> None:
    objects = open_objects(ceph_url)
    objects.put("a", b"one")
    assert not objects.replace("a", b"two", b"three")
    assert objects.replace("a", b"one", b"two")
    assert not objects.replace("b", b"", b"one")
    assert objects.dated("a").data == b"two"
    assert [entry.key for entry in objects.entries("")] == ["a"]


def test_a_wrong_secret_is_refused_in_words(ceph_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(
        StoreError, match=r"does not accept the credentials .*SignatureDoesNotMatch"
    ):
        Store(ceph_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(StoreError, match=r"does not accept the credentials .*InvalidAccessKeyId"):
        Store(ceph_url)


def test_a_wrong_bucket_is_refused_in_words(ceph_url: str) -> None:
    with pytest.raises(StoreError, match="there is no bucket 'no-such-bucket'"):
        Store("s3://no-such-bucket/runs")


def test_parts_of_objects_are_read(ceph_url: str) -> None:
    run = new_run(ceph_url)
    for value, shard in enumerate(SHARDS):
        run.commit("calibrate", shard, {"means": means(float(value))})
    assert values(run) == {0.0, 1.0, 2.0}
    some = run.read("calibrate", "means", columns=["neuron"], filters=[("neuron", ">=", 1)])
    assert some["neuron"].to_pylist() == [1, 2] * 3
    assert run.dataset("calibrate", "means").to_table(filter=pc.field("neuron") == 2).num_rows == 3


def test_large_objects_go_in_parts_and_unfinished_ones_are_garbage(
    ceph_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_objects, "_PART", 5 * 2**20)
    objects = open_objects(ceph_url)
    data = bytes(range(256)) * (12 * 2**12)
    objects.put("large", data)
    assert objects.get("large") == data
    assert list(objects.leftovers()) == []
