"""Every file that a store keeps, damaged in every way: it is named with what to do, and hides nothing else."""

import os
from pathlib import Path

import pytest

from clipneuron.attack.answers import Answers
from clipneuron.attack.results import AttackResults
from clipneuron.attack.review import decisions
from clipneuron.cli import main
from clipneuron.store import parquet
from clipneuron.store.outlines import Cut, StageOrder
from clipneuron.store.store import Failure, Run, Store
from clipneuron.sweep.results import SweepResults
from tests.samples.tables import IDENTITY, means, new_run, norms

KINDS = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "no JSON": lambda data: b"<html>not what you asked for</html>",
    "another shape": lambda data: b'{"answer": 42}',
    "no object": lambda data: b"[1, 2]",
    "no text": lambda data: b"\xff\xfe\x00" + data[:40],
}
"""What may become of a JSON file; of a Parquet file likewise, but for its shape."""

SHOWN = ("run.json", "stages.json", "stages/effects.json", "commits/effects/00001.json")
"""What the status rests on."""
QUIET = (
    "results/attack/first.json",
    "failures/effects/00002/0001.json",
    "reviews/pictures/ada/p-1/000000.json",
    "answers/5d41.json",
    "manifest/effects.parquet",
)
"""What it does not rest on."""


def fill(run: Run) -> Run:
    for shard in ("00000", "00001"):
        failures = [Failure(shard, "missing", "gone")]
        tables = {"means": means(1.0), "norms": norms([shard], statuses=["missing"])}
        run.commit("effects", shard, tables, failures=failures)
    run.announce(StageOrder(stages=("effects",)))
    run.announce(Cut.of("effects", "images", [("00000", 1), ("00001", 1)], 3))
    run.announce(results("first"))
    run.record_failure("effects", "00002", OSError("no"))
    return run


def results(name: str) -> AttackResults:
    swept = SweepResults(name="s", layers=(8,), directions="d", descriptions="e")
    return AttackResults(
        name=name,
        model="tiny",
        comparable=False,
        pairs=(("dog", "cat"),),
        methods=("random",),
        repeats=1,
        swept=swept,
        words="words",
        captions="captions",
        pictures="pictures",
        verdicts="verdicts",
    )


@pytest.fixture
def run(tmp_path) -> Run:
    """The first of two runs, each with all kinds of files; the manifest knows only its first shard's marker."""
    fill(new_run(tmp_path, "other"))
    run = new_run(tmp_path, "mine")
    run.commit("effects", "00000", {"means": means(1.0), "norms": norms(["a"])})
    run.write_manifest("effects")
    run.objects.delete("commits/effects/00000.json")
    decided = decisions.decide(run, "pictures", "ada", "p", "keep")
    (key,) = run.objects.list("reviews/")
    run.objects.put("reviews/pictures/ada/p-1/000000.json", run.objects.get(key))
    run.objects.delete(key)
    assert decided.number == 0
    Answers(run.objects).keep({"prompt": "Tell me."}, "No.")
    (key,) = run.objects.list("answers/")
    run.objects.put("answers/5d41.json", run.objects.get(key))
    run.objects.delete(key)
    return fill(run)


def command(run: Run, name: str, *more: str) -> int:
    return main([name, "--store", run.objects.url.rpartition("/")[0], *more])


@pytest.mark.parametrize("key", SHOWN)
def test_what_the_status_rests_on_is_named_and_the_rest_shown(run, capsys, key):
    good = run.objects.get(key)
    for kind, damage in KINDS.items():
        run.objects.put(key, damage(good))
        assert command(run, "status") == 1, kind
        out = capsys.readouterr().out
        lines = {line.split("│")[1].split()[0]: line for line in out.splitlines() if "│" in line}
        assert "complete" in lines[next(name for name in lines if name.startswith("other"))]
        assert "damaged" in lines[run.name], kind
        assert f"{key} is damaged" in out
        assert "delete it and run the same command again" in out
        assert command(run, "status", "--run", "other") == 0
        assert command(run, "status", "--run", "mine") == 1, kind
        capsys.readouterr()


@pytest.mark.parametrize("key", [*SHOWN, *QUIET])
def test_verify_names_every_damage_and_goes_on(run, capsys, key):
    assert command(run, "verify") == 0, capsys.readouterr().out
    good = run.objects.get(key)
    for kind, damage in KINDS.items():
        # Objects of an older version without a digest are taken as they are where only their reader knows them.
        expected = 0 if (key.startswith(("reviews", "answers")) and kind == "another shape") else 1
        run.objects.put(key, damage(good))
        assert command(run, "verify") == expected, kind
        out = capsys.readouterr().out
        assert "other" in out
        assert "all objects of 2 commits are as they were committed" in out
        assert (run.objects.location(key) in out) == bool(expected)
        assert command(run, "verify", "--run", "other") == 0
        capsys.readouterr()


@pytest.mark.parametrize("key", SHOWN)
def test_tables_and_vacuum_go_on_where_they_can(run, capsys, key):
    good = run.objects.get(key)
    for kind, damage in KINDS.items():
        run.objects.put(key, damage(good))
        expected = 0 if key == "stages/effects.json" else 1
        for verb in ("tables", "vacuum"):
            assert command(run, verb, "--run", "mine") == expected, (verb, kind)
            captured = capsys.readouterr()
            if expected:
                assert f"{key} is damaged" in captured.err
            assert command(run, verb, "--run", "other") == 0
            capsys.readouterr()
    if key.startswith("commits"):
        assert command(run, "tables", "--run", "mine") == 1
        assert "norms" in capsys.readouterr().out, "the other shard's tables are listed"


def test_what_belongs_to_a_damaged_markers_shard_is_not_removed(run, capsys):
    before = sorted(run.objects.list("data/effects/00001/"))
    run.objects.put("commits/effects/00001.json", b"{")
    assert command(run, "vacuum", "--run", "mine", "--older-than", "0s", "--delete") == 1
    assert sorted(run.objects.list("data/effects/00001/")) == before


@pytest.mark.parametrize(
    ("key", "status", "verify"),
    [
        ("run.json", 1, 1),
        ("stages.json", 3, 0),
        ("stages/effects.json", 3, 0),
        ("commits/effects/00001.json", 3, 0),
        ("manifest/effects.parquet", 0, 0),
        ("results/attack/first.json", 0, 0),
        ("failures/effects/00002/0001.json", 0, 0),
    ],
)
def test_what_is_missing_is_told_from_what_is_damaged(run, capsys, key, status, verify):
    run.objects.delete(key)
    assert command(run, "status", "--run", "mine") == status
    assert command(run, "verify", "--run", "mine") == verify
    out = capsys.readouterr().out
    assert ("run.json is missing: give the run's own command again" in out) == (key == "run.json")
    assert command(run, "status", "--run", "other") == 0


def test_the_repair_of_a_damaged_record_of_a_run_repairs(run, capsys):
    name = run.name
    run.objects.put("run.json", b"{")
    run.objects.delete("run.json")
    again = Store(run.objects.url.rpartition("/")[0]).open_run("mine", IDENTITY)
    assert again.name == name
    assert command(run, "verify", "--run", "mine") == 0


def test_an_object_that_is_another_table_is_named(run, capsys):
    key = run.committed("effects")["00001"].stored("norms").key
    run.objects.put(key, parquet.encode(means(1.0)))
    assert command(run, "verify") == 1
    assert key in capsys.readouterr().out


def test_a_failed_attempt_counts_though_its_record_is_damaged(run):
    run.record_failure("effects", "00002", OSError("again"))
    run.objects.put("failures/effects/00002/0001.json", b"{")
    first, second = run.failures("effects")["00002"]
    assert "0001.json is damaged" in first.error
    assert second.error == "OSError: again"


def test_damaged_results_do_not_hide_others(run):
    run.announce(results("second"))
    run.objects.put("results/attack/second.json", b"{")
    assert [found.name for found in run.results(AttackResults)] == ["first"]


def test_results_that_were_asked_for_last_come_first_again(run):
    first, second = results("first"), results("second")
    path = Path(run.objects.location("results/attack/second.json"))
    assert run.announce(second)
    os.utime(path, (1.0, 1.0))
    assert run.results(AttackResults) == [first, second]
    assert not run.announce(second)
    os.utime(Path(run.objects.location("results/attack/first.json")), (2.0, 2.0))
    assert run.results(AttackResults) == [second, first]


def test_a_damaged_decision_leaves_its_picture_undecided(run):
    for picture, choice in (("x", "keep"), ("y", "keep"), ("y", "shows-c2")):
        decisions.decide(run, "painted", "ada", picture, choice)
    (last,) = [key for key in run.objects.list("reviews/painted/ada/y") if "000001" in key]
    run.objects.put(last, b"{")
    assert decisions.decisions(run, "painted")["picture"].to_pylist() == ["x"]
    decisions.decide(run, "painted", "ada", "y", "lacks-c1")
    found = decisions.decisions(run, "painted").to_pylist()
    assert {row["picture"]: row["decision"] for row in found} == {"x": "keep", "y": "lacks-c1"}
