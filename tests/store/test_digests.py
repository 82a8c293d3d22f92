"""Records say by their digest whether they are what was written; markers are compared with their objects besides."""

import json
from typing import Any

import pytest

from clipneuron.store.errors import DamagedError
from clipneuron.store.outlines import Cut, StageOrder
from clipneuron.store.store import Failure, Run
from clipneuron.store.upkeep import verification
from tests.samples.tables import means, new_run, norms

MARKER = "commits/effects/00000.json"


@pytest.fixture
def run(tmp_path) -> Run:
    run = new_run(tmp_path)
    tables = {
        "norms": norms(["a", "b", "c"], statuses=["ok", "missing", "ok"]),
        "means": means(1.0),
    }
    failures = [Failure("b", "missing", "it is gone")]
    run.commit("effects", "00000", tables, failures=failures, timings={"process": 1.5})
    run.announce(StageOrder(stages=("effects",)))
    run.announce(Cut.of("effects", "images", [("00000", 3)], 3))
    run.record_failure("effects", "00001", OSError("no"))
    return run


def altered(run: Run, key: str, digest: bool = True, **fields: Any) -> None:
    """Write the record again with other fields; without a digest, as older versions did."""
    record = json.loads(run.objects.get(key)) | fields
    if not digest:
        del record["digest"]
    run.objects.put(key, json.dumps(record).encode())


def with_rows(run: Run, rows: int) -> list[dict[str, Any]]:
    first, *others = json.loads(run.objects.get(MARKER))["objects"]
    return [first | {"rows": rows}, *others]


@pytest.mark.parametrize(
    "fields",
    [
        {"timings": {"process": 0.1}},
        {"host": "elsewhere"},
        {"pid": 1},
        {"failures": []},
        {"failures": [{"image": "b", "status": "missing", "reason": "another"}]},
        {"versions": {}},
        {"committed_at": "2020-01-01"},
        {"attempt": "other"},
        {"added": "by hand"},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_any_field_of_a_marker_that_was_altered_is_noticed(run: Run, fields) -> None:
    altered(run, MARKER, **fields)
    [problem] = run.verify()
    assert "00000.json is damaged (it was changed after it was written" in problem
    with pytest.raises(DamagedError):
        run.committed("effects")


def test_altered_rows_are_noticed(run: Run) -> None:
    altered(run, MARKER, objects=with_rows(run, 7))
    assert "changed after it was written" in run.verify()[0]


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("run.json", {"details": {"host": "there"}}),
        ("run.json", {"created_at": "never"}),
        ("stages.json", {"stages": ["effects", "more"]}),
        ("stages/effects.json", {"shards": 2}),
        ("failures/effects/00001/0001.json", {"error": "another"}),
    ],
)
def test_the_other_records_are_protected_too(run: Run, key: str, fields) -> None:
    assert run.verify() == []
    altered(run, key, **fields)
    [problem] = run.verify()
    assert f"{key} is damaged (it was changed after it was written" in problem


def test_a_marker_without_a_digest_is_counted_and_valid(run: Run) -> None:
    altered(run, MARKER, digest=False)
    found = verification.of_run(run.objects)
    assert (found.problems, found.commits, found.without_digest) == ([], 1, 1)
    assert run.read("effects", "means").num_rows == 3


def test_of_a_marker_without_a_digest_rows_are_compared_with_the_footers(run: Run) -> None:
    altered(run, MARKER, digest=False, objects=with_rows(run, 7))
    [problem] = run.verify()
    assert "has 3 rows, not 7 as its marker says" in problem


@pytest.mark.parametrize(
    ("failures", "says"),
    [
        ([], "its marker says none"),
        ([{"image": "b", "status": "truncated", "reason": ""}], "its marker says 1 truncated"),
    ],
)
def test_of_a_marker_without_a_digest_failures_are_compared_with_the_rows(
    run: Run, failures, says
) -> None:
    altered(run, MARKER, digest=False, failures=failures)
    [problem] = run.verify()
    assert "has failed rows 1 missing" in problem
    assert says in problem


def test_a_marker_under_another_shards_name_is_damaged(run: Run) -> None:
    run.objects.put("commits/effects/00009.json", run.objects.get(MARKER))
    [problem] = run.verify()
    assert "00009.json is damaged (it is the marker of effects/00000)" in problem


def test_a_manifest_that_contradicts_the_markers_is_named(run: Run) -> None:
    run.write_manifest("effects")
    assert run.verify() == []
    good = run.objects.get("manifest/effects.parquet")
    [(stamp, commit)] = [
        (row["stamp"], json.loads(row["marker"]))
        for row in run.manifest("effects").to_pylist()
        if row["marker"]
    ]
    from clipneuron.store import manifests, parquet
    from clipneuron.store.records import Commit

    other = Commit.model_validate(commit | {"host": "elsewhere"})
    run.objects.put("manifest/effects.parquet", parquet.encode(manifests.table([(stamp, other)])))
    [problem] = run.verify()
    assert "manifest/effects.parquet says something else of 00000" in problem
    run.objects.delete("manifest/effects.parquet")
    assert run.write_manifest("effects")
    assert run.objects.get("manifest/effects.parquet") == good


def test_names_that_are_no_unicode_do_not_spoil_the_digest(tmp_path) -> None:
    run = new_run(tmp_path)
    run.commit("notes", "one", {}, failures=[Failure("a\udcff.png", "missing", "gone")])
    assert run.verify() == []
    assert len(run.committed("notes")["one"].failures) == 1
