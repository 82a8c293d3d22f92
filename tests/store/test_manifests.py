"""A manifest spares requests and is never believed against the markers."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from clipneuron.store import parquet
from clipneuron.store.errors import StoreError
from clipneuron.store.store import Failure, Run
from tests.samples.tables import means, new_run, norms, values

KEY = "manifest/calibrate.parquet"


@pytest.fixture
def run(place: str) -> Run:
    run = new_run(place)
    for shard in ("00000", "00001", "00002"):
        tables = {"means": means(1.0), "norms": norms([shard], statuses=["missing"])}
        failures = [Failure(f"{shard}.jpg", "missing", 'no "file"')]
        run.commit("calibrate", shard, tables, failures=failures, timings={"a": 0.1, "b": 1 / 3})
    return run


@pytest.fixture
def fetched(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the objects that are fetched, in order."""
    keys: list[str] = []
    kind, get, get_many = type(run.objects), type(run.objects).get, type(run.objects).get_many

    def noted(self: object, key: str) -> bytes:
        keys.append(key)
        return get(self, key)  # type: ignore[arg-type]

    def all_noted(self: object, names: Iterable[str]) -> Iterator[bytes]:
        return get_many(self, list(names))  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "get", noted)
    monkeypatch.setattr(kind, "get_many", all_noted)
    return keys


def test_readers_of_a_stage_with_a_manifest_fetch_it_alone(run: Run, fetched: list[str]) -> None:
    before = run.committed("calibrate")
    assert sum(key.startswith("commits/") for key in fetched) == 3
    assert run.write_manifest("calibrate")
    fetched.clear()
    assert run.committed("calibrate") == before
    assert fetched == [KEY]
    assert list(run.committed("calibrate")) == ["00000", "00001", "00002"]


def test_a_manifest_that_says_it_all_is_not_written_again(run: Run) -> None:
    assert run.write_manifest("calibrate")
    before = list(run.objects.entries("manifest/"))
    assert not run.write_manifest("calibrate")
    assert list(run.objects.entries("manifest/")) == before
    run.commit("calibrate", "00003", {"means": means(1.0)})
    assert run.write_manifest("calibrate")


def test_what_was_committed_since_is_fetched_and_nothing_else(run: Run, fetched: list[str]) -> None:
    run.write_manifest("calibrate")
    run.commit("calibrate", "00003", {"means": means(2.0)})
    fetched.clear()
    assert list(run.committed("calibrate")) == ["00000", "00001", "00002", "00003"]
    assert fetched == [KEY, "commits/calibrate/00003.json"]
    assert values(run) == {1.0, 2.0}


def test_a_shard_without_its_marker_is_undone_whatever_the_manifest_says(run: Run) -> None:
    run.write_manifest("calibrate")
    run.objects.delete("commits/calibrate/00001.json")
    assert list(run.committed("calibrate")) == ["00000", "00002"]
    assert run.read("calibrate", "norms")["image"].to_pylist() == ["00000", "00002"]
    assert run.write_manifest("calibrate")
    assert {row["shard"] for row in run.manifest("calibrate").to_pylist()} == {"00000", "00002"}


def test_a_marker_that_was_written_again_is_read_again(run: Run) -> None:
    run.write_manifest("calibrate")
    run.objects.delete("commits/calibrate/00001.json")
    again = run.commit("calibrate", "00001", {"means": means(5.0), "norms": norms(["new"])})
    assert run.committed("calibrate")["00001"] == again


@pytest.mark.parametrize("damage", [b"", b"PAR1 no PAR1", None])
def test_a_damaged_manifest_is_no_error_and_mended(run: Run, damage: bytes | None) -> None:
    before = run.committed("calibrate")
    run.write_manifest("calibrate")
    good = run.objects.get(KEY)
    half = len(good) // 2
    torn = good[: half - 100] + bytes(200) + good[half + 100 :]
    run.objects.put(KEY, torn if damage is None else damage)
    assert run.committed("calibrate") == before
    assert run.write_manifest("calibrate")
    assert run.objects.get(KEY) == good
    assert run.committed("calibrate") == before


def test_a_table_of_another_version_is_no_manifest(run: Run) -> None:
    before = run.committed("calibrate")
    run.objects.put(KEY, parquet.encode(means(1.0)))
    assert run.committed("calibrate") == before


def test_a_damaged_marker_is_an_error_only_where_it_is_needed(run: Run) -> None:
    run.write_manifest("calibrate")
    run.objects.put("commits/calibrate/00001.json", b"{")
    with pytest.raises(StoreError, match=r"00001\.json is damaged"):
        run.committed("calibrate")


def test_a_commit_without_objects_is_in_the_manifest(place: str, run: Run) -> None:
    run.commit("notes", "only", {}, failures=[Failure("a", "b", "c")])
    before = run.committed("notes")
    run.write_manifest("notes")
    assert run.committed("notes") == before
    [row] = run.manifest("notes").to_pylist()
    assert (row["shard"], row["table"], row["failed"]) == ("only", None, 1)
    assert json.loads(row["marker"])["failures"] == [{"image": "a", "status": "b", "reason": "c"}]


def test_a_stage_without_commits_gets_an_empty_manifest_of_no_harm(run: Run) -> None:
    run.write_manifest("nothing")
    assert run.committed("nothing") == {}
    assert run.manifest("nothing").num_rows == 0


def test_a_copied_run_reads_like_the_first(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run.write_manifest("calibrate")
    copy = replace(run, objects=new_run(tmp_path_factory.mktemp("copy")).objects)
    for key in run.objects.list(""):
        copy.objects.put(key, run.objects.get(key))
    assert copy.committed("calibrate") == run.committed("calibrate")
    assert copy.verify() == []
