import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from clipneuron.store import records
from clipneuron.store.errors import StoreError
from clipneuron.store.store import Commit, Failure, Run
from tests.samples.tables import data_keys, means, new_run, norms, values


@pytest.fixture
def run(place: str) -> Run:
    return new_run(place)


def test_a_commit_says_what_was_done(run: Run) -> None:
    failures = [Failure("b.jpg", "missing", "the file b.jpg is gone")]
    timings = {"load": 0.5, "process": 1.5}
    commit = run.commit(
        "effects",
        "00003",
        {"norms": norms(["a.jpg"])},
        failures=failures,
        timings=timings,
        attempt="first",
    )
    assert run.committed("effects") == {"00003": commit}
    assert (commit.stage, commit.shard, commit.attempt) == ("effects", "00003", "first")
    assert commit.failures == tuple(failures)
    assert commit.seconds == 2.0
    assert commit.stored("norms").rows == 1
    assert commit.stored("norms").key.startswith("data/effects/00003/norms-first-")
    assert commit.host
    assert commit.pid > 0
    assert "pyarrow" in commit.versions


def test_a_time_that_is_no_number_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="finite"):
        run.commit("notes", "00000", {}, timings={"total": float("nan")})


def test_the_marker_is_plain_json(run: Run) -> None:
    run.commit("effects", "00000", {"norms": norms(["a"])}, timings={"total": 3.0, "load": 2.0})
    marker = json.loads(run.objects.get("commits/effects/00000.json"))
    assert marker["objects"][0]["rows"] == 1
    assert run.committed("effects")["00000"].seconds == 3.0


def test_markers_of_a_later_version_are_read(run: Run) -> None:
    run.commit("effects", "00000", {"norms": norms(["a"])})
    committed = run.committed("effects")["00000"]

    class Later(Commit):
        new: int

    run.objects.put("commits/effects/00000.json", records.dump(Later(**vars(committed), new=1)))
    assert run.read("effects", "norms").num_rows == 1
    assert run.verify() == []


def test_the_second_commit_of_a_shard_gets_the_first(run: Run) -> None:
    first = run.commit("calibrate", "00000", {"means": means(1.0)}, attempt="one")
    second = run.commit("calibrate", "00000", {"means": means(2.0)}, attempt="two")
    assert second == first
    assert second.attempt == "one"
    assert values(run) == {1.0}


def test_a_shard_that_is_done_costs_no_space(run: Run) -> None:
    run.commit("calibrate", "00000", {"means": means(1.0)})
    before = list(run.objects.entries(""))
    run.commit("calibrate", "00000", {"means": means(2.0)})
    assert list(run.objects.entries("")) == before


def test_what_is_done_is_told_by_names(run: Run) -> None:
    assert run.done("calibrate") == set()
    for shard in ("b", "a"):
        run.commit("calibrate", shard, {"means": means(1.0)})
    assert run.done("calibrate") == {"a", "b"}
    assert run.is_done("calibrate", "a")
    assert not run.is_done("calibrate", "c")
    run.objects.delete("commits/calibrate/a.json")
    assert run.done("calibrate") == {"b"}
    assert not run.is_done("calibrate", "a")


def test_a_reused_attempt_name_does_not_touch_committed_bytes(run: Run) -> None:
    run.commit("calibrate", "00000", {"means": means(1.0)}, attempt="same")
    run.commit("calibrate", "00000", {"means": means(2.0)}, attempt="same")
    assert values(run) == {1.0}
    assert run.verify() == []


def test_a_commit_may_have_no_table_or_no_rows(run: Run) -> None:
    run.commit("notes", "00000", {})
    run.commit("calibrate", "00000", {"means": means(1.0, rows=0)})
    assert run.committed("notes")["00000"].objects == ()
    assert run.read("calibrate", "means").num_rows == 0


def test_a_wrong_table_is_refused_before_anything_is_written(run: Run) -> None:
    tables = {"means": means(1.0), "norms": norms(["a"]).drop_columns(["image"])}
    with pytest.raises(ValueError, match=r"image .string. is missing"):
        run.commit("calibrate", "00000", tables)
    with pytest.raises(ValueError, match="there is no table 'mean'"):
        run.commit("calibrate", "00000", {"mean": means(1.0)})
    assert data_keys(run) == []
    assert run.committed("calibrate") == {}


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "a b"])
def test_names_that_cannot_be_keys_are_refused(run: Run, name: str) -> None:
    with pytest.raises(ValueError, match="the name of a stage"):
        run.commit(name, "00000", {})
    with pytest.raises(ValueError, match="the name of a shard"):
        run.commit("effects", name, {})
    with pytest.raises(ValueError, match="the name of a attempt"):
        run.commit("effects", "00000", {}, attempt=name or "/")


def test_shards_are_read_in_the_order_of_their_names(run: Run) -> None:
    for shard, value in (("00002", 2.0), ("00000", 0.0), ("00001", 1.0)):
        run.commit("calibrate", shard, {"means": means(value, rows=1)})
    read = [row[0] for row in run.read("calibrate", "means")["coefficients"].to_pylist()]
    assert read == [0.0, 1.0, 2.0]
    assert list(run.committed("calibrate")) == ["00000", "00001", "00002"]


def test_names_are_ordered_as_names_even_where_one_begins_the_other(run: Run) -> None:
    for shard in ("a", "a-1", "a.1"):
        run.commit("calibrate", shard, {"means": means(0.0)})
    assert list(run.committed("calibrate")) == ["a", "a-1", "a.1"]


def test_some_shards_columns_and_rows(run: Run) -> None:
    for number in range(3):
        images = [f"{number}-{i}" for i in range(2)]
        run.commit("effects", f"{number:05d}", {"norms": norms(images)})
    some = run.read("effects", "norms", shards=["00002", "00000"], columns=["layer_9", "image"])
    assert some.column_names == ["layer_9", "image"]
    assert some["image"].to_pylist() == ["0-0", "0-1", "2-0", "2-1"]
    one = run.read("effects", "norms", columns=["image"], filters=[("index", "==", 1)])
    assert one["image"].to_pylist() == ["0-1", "1-1", "2-1"]
    expression = run.read("effects", "norms", filters=pc.field("image") == "1-0")
    assert expression.num_rows == 1


def test_nothing_is_among_no_values(run: Run) -> None:
    run.commit("effects", "00000", {"norms": norms(["a"])})
    for column in ("image", "index"):
        found = run.read("effects", "norms", filters=[("index", ">=", 0), (column, "in", [])])
        assert found.equals(run.read("effects", "norms").slice(length=0))
    assert run.read("effects", "norms", columns=["image"], filters=[("image", "in", ())]).shape == (
        0,
        1,
    )


def test_filters_on_small_integers(run: Run) -> None:
    run.commit("calibrate", "00000", {"means": means(1.0, rows=5)})
    filters = [("layer", "==", 8), ("neuron", ">=", 3)]
    assert run.read("calibrate", "means", filters=filters)["neuron"].to_pylist() == [3, 4]


def test_what_is_not_there_is_said(run: Run) -> None:
    with pytest.raises(StoreError, match=r"'effects' of run demo-.* has committed nothing yet"):
        run.read("effects", "norms")
    run.commit("effects", "00000", {"norms": norms(["a"])})
    with pytest.raises(StoreError, match=r"not committed every shard .*00009.json.* run it again"):
        run.read("effects", "norms", shards=["00000", "00009"])
    with pytest.raises(ValueError, match="'effects' wrote no table 'summaries'; it wrote norms"):
        run.read("effects", "summaries")
    with pytest.raises(ValueError, match=r"can't read table 'norms' as asked: .*layer_7"):
        run.read("effects", "norms", columns=["layer_7"])
    with pytest.raises(ValueError, match="can't read table 'norms' as asked"):
        run.read("effects", "norms", filters=[("nope", "==", 1)])


def test_scan_yields_a_shard_at_a_time(run: Run) -> None:
    for number in range(3):
        run.commit("calibrate", f"{number:05d}", {"means": means(float(number))})
    scanned = list(run.scan("calibrate", "means", columns=["coefficients"]))
    assert [shard for shard, _ in scanned] == ["00000", "00001", "00002"]
    assert [table["coefficients"][0].as_py()[0] for _, table in scanned] == [0.0, 1.0, 2.0]


def test_a_dataset_sees_committed_rows_only(run: Run) -> None:
    run.commit("calibrate", "00000", {"means": means(1.0)})
    run.commit("calibrate", "00000", {"means": means(2.0)})
    run.commit("calibrate", "00001", {"means": means(3.0)})
    dataset = run.dataset("calibrate", "means")
    assert dataset.count_rows() == 6
    assert dataset.to_table(filter=pc.field("neuron") == 2).num_rows == 2


def test_files_are_absolute_paths_that_others_can_read(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.commit("calibrate", "00000", {"means": means(1.0)})
    run.commit("calibrate", "00000", {"means": means(2.0)})
    [path] = run.files("calibrate", "means")
    assert Path(path).is_absolute()
    assert pq.read_table(path).equals(run.read("calibrate", "means"))


def test_the_manifest_has_a_row_per_object(run: Run) -> None:
    failures = [Failure("b", "empty", "no bytes")]
    for shard in ("00001", "00000"):
        run.commit(
            "effects",
            shard,
            {"norms": norms(["a", "c"]), "means": means(1.0)},
            failures=failures,
            timings={"total": 2.5},
            attempt="x",
        )
    rows = run.manifest("effects").to_pylist()
    assert [(row["shard"], row["table"], row["rows"]) for row in rows] == [
        ("00000", "means", 3),
        ("00000", "norms", 2),
        ("00001", "means", 3),
        ("00001", "norms", 2),
    ]
    assert {(row["failed"], row["seconds"], row["attempt"]) for row in rows} == {(1, 2.5, "x")}
    assert run.manifest("nothing").num_rows == 0


def test_stages_are_those_that_committed(run: Run) -> None:
    run.commit("effects", "00000", {"norms": norms(["a"])})
    run.commit("calibrate", "00000", {"means": means(1.0)})
    run.record_failure("plan", "00000", ValueError("no"))
    assert run.stages() == ["calibrate", "effects"]


def failing() -> BaseException:
    try:
        raise ValueError("a bad weight")
    except ValueError as error:
        return error


def test_failed_attempts_are_counted_with_their_tracebacks(run: Run) -> None:
    assert [run.record_failure("effects", "00001", failing()) for _ in range(3)] == [1, 2, 3]
    assert run.record_failure("effects", "00000", failing()) == 1
    found = run.failures("effects")
    assert {shard: [item.attempt for item in items] for shard, items in found.items()} == {
        "00000": [1],
        "00001": [1, 2, 3],
    }
    assert found["00001"][0].error == "ValueError: a bad weight"
    assert 'raise ValueError("a bad weight")' in found["00001"][0].traceback
    assert run.failures("calibrate") == {}


def test_forgotten_failures_are_counted_anew(run: Run) -> None:
    for _ in range(2):
        run.record_failure("effects", "00001", failing())
    run.record_failure("effects", "00002", failing())
    assert run.forget_failures("effects", "00001") == 2
    assert list(run.failures("effects")) == ["00002"]
    assert run.record_failure("effects", "00001", failing()) == 1


def test_the_store_survives_any_text_in_an_error(run: Run) -> None:
    run.record_failure("effects", "00000", ValueError("\x00 \ud800 'quoted' \n line"))
    assert "line" in run.failures("effects")["00000"][0].error


def test_reports_may_be_written_again(run: Run) -> None:
    run.put_file("figures/a.png", b"one")
    address = run.put_file("figures/a.png", b"two")
    assert address == run.objects.location("reports/figures/a.png")
    assert run.objects.get("reports/figures/a.png") == b"two"


def test_reports_on_a_disk_have_a_path(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.put_file("figures/a.png", b"one")
    address = run.put_file("figures/a.png", b"two")
    path = run.path("figures/a.png")
    assert path == Path(address)
    assert path is not None
    assert path.read_bytes() == b"two"


def test_reports_in_a_bucket_have_none(s3_url: str) -> None:
    assert new_run(s3_url).path("figures/a.png") is None


def test_a_run_travels(run: Run) -> None:
    run.commit("calibrate", "00000", {"means": means(1.0)})
    other = pickle.loads(pickle.dumps(run))
    assert other == run
    assert values(other) == {1.0}


def test_equal_shards_have_equal_bytes(place: str) -> None:
    digests = {
        new_run(f"{place}/{folder}")
        .commit("effects", "00000", {"norms": norms(["a"])})
        .stored("norms")
        .sha256
        for folder in ("one", "two")
    }
    assert len(digests) == 1


def test_columns_in_another_order_are_the_same_table(run: Run) -> None:
    table = means(1.0)
    run.commit("calibrate", "00000", {"means": table.select(table.column_names[::-1])})
    assert isinstance(run.read("calibrate", "means"), pa.Table)
    assert run.read("calibrate", "means").equals(table)
