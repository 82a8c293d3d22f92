"""verify, vacuum and tables: what a store holds, what is wrong with it, and what is too much."""

import shutil
from pathlib import Path

import duckdb
import pytest

from clipneuron.cli import main
from clipneuron.store.store import Run, Store
from tests.cli.test_status import row
from tests.cli.user import run as run_command
from tests.samples.world import copied, finished

pytestmark = pytest.mark.slow

LOST = "data/effects/00000001/norms-lost.parquet"


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A folder with the pictures and the store of a complete run."""
    folder = tmp_path_factory.mktemp("original")
    finished(folder)
    return folder


@pytest.fixture
def run(original, tmp_path) -> Run:
    """A complete run of a store of its own."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    (found,) = Store(tmp_path / "store").runs()
    return found


def command(run: Run, name: str, *more: str) -> int:
    return main([name, "--store", run.objects.url.rpartition("/")[0], *more])


def flip(run: Run, key: str) -> None:
    data = bytearray(run.objects.get(key))
    data[len(data) // 2] ^= 1
    run.objects.put(key, bytes(data))


def test_an_intact_run_is_verified_object_by_object(run, capsys):
    assert command(run, "verify") == 0
    captured = capsys.readouterr()
    commits = sum(len(run.done(stage)) for stage in run.stages())
    assert f"all objects of {commits} commits" in captured.out
    assert f"{commits} shards in" in captured.err


def test_a_flipped_byte_is_found_and_the_repair_works(run, capsys, tmp_path):
    damaged = run.committed("effects")["00000001"].stored("norms").key
    flip(run, damaged)
    assert command(run, "verify") == 1
    out = capsys.readouterr().out
    assert f"{run.objects.location(damaged)} is damaged" in out
    assert "commits/effects/00000001.json names it" in out
    assert "delete the marker that names it" in out
    before = run.read("directions", "directions")
    run.objects.delete("commits/effects/00000001.json")
    _, again = finished(tmp_path)
    assert again.name == run.name
    assert command(run, "verify") == 0
    assert run.read("directions", "directions").equals(before)
    garbage = {item.key for item in run.garbage(0.0)}
    assert damaged in garbage


def test_a_damaged_marker_is_a_problem_among_others(run, capsys):
    run.objects.put("commits/effects/00000001.json", b"{")
    run.objects.delete(run.committed("directions").popitem()[1].objects[0].key)
    assert command(run, "verify") == 1
    out = capsys.readouterr().out
    assert "00000001.json is damaged" in out
    assert "is missing" in out


def test_vacuum_lists_and_only_with_delete_removes(run, capsys):
    run.objects.put(LOST, b"12345")
    assert command(run, "vacuum", "--older-than", "1h") == 0
    assert capsys.readouterr().out == ""
    assert command(run, "vacuum", "--older-than", "0s") == 0
    captured = capsys.readouterr()
    (line,) = [line for line in captured.out.splitlines() if LOST in line]
    assert "5 B" in line
    assert "--delete removes them" in captured.err
    assert run.objects.size(LOST) == 5
    assert command(run, "vacuum", "--older-than", "0s", "--delete") == 0
    assert run.objects.size(LOST) is None
    assert run.garbage(0.0) == []
    assert run.verify() == []


@pytest.mark.parametrize("span", ["24", "1w", "h", "-1h"])
def test_a_time_span_that_is_none_is_refused(run, capsys, span):
    with pytest.raises(SystemExit, match="2"):
        command(run, "vacuum", f"--older-than={span}")
    assert "expected 90s, 30m, 24h or 7d" in capsys.readouterr().err


def test_tables_are_listed_in_the_order_of_the_stages(run, capsys):
    assert command(run, "tables") == 0
    out = capsys.readouterr().out
    assert row(out, "norms")[:4] == ["effects", "norms", "12", "3"]
    names = ["plan", "means", "norms", "directions", "descriptions"]
    places = [out.index(f" {name} ", out.index("table")) for name in names]
    assert places == sorted(places)


def test_the_files_of_a_table_are_lines_for_other_programs(run, capsys):
    assert command(run, "tables", "norms") == 0
    files = capsys.readouterr().out.split()
    query = "select count(*) from read_parquet($files) where status = 'ok'"
    assert duckdb.execute(query, {"files": files}).fetchall() == [(11,)]


def test_a_schema_says_what_columns_mean(run, capsys):
    assert command(run, "tables", "effects/norms", "--schema") == 0
    out = capsys.readouterr().out
    assert "layer_1" in out
    assert "|phi - b| of the neurons of layer 1" in out
    assert '"ok", or the kind of trouble' in out


def test_a_table_of_several_stages_is_named_with_its_stage(tmp_path, capsys):
    run = finished(tmp_path, limit=11)[1]
    finished(tmp_path, extends=run.name)
    assert command(run, "tables", "directions") == 1
    latest = f"{run.stage('directions')}/directions"
    assert latest in capsys.readouterr().err
    assert command(run, "tables", latest) == 0
    assert len(capsys.readouterr().out.split()) == 6


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tables", "nothing"], "has no table 'nothing'; it has plan/plan"),
        (["tables", "--schema"], "name it"),
        (["tables", "calibrate/norms"], "has no table"),
        (["verify", "--run", "other"], "no run in"),
    ],
)
def test_a_wrong_name_is_one_clear_sentence(run, capsys, words, says):
    assert command(run, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith("clipneuron: ")
    assert says in error


@pytest.mark.parametrize("name", ["vacuum", "tables"])
def test_of_several_runs_one_has_to_be_named(place, capsys, name):
    if not Store(place / "two").runs():
        assert run_command(place, "--until", "plan", store="two") == 0
        assert run_command(place, "--until", "plan", "--top", "4", store="two") == 0
    capsys.readouterr()
    assert main([name, "--store", str(place / "two")]) == 1
    assert "has 2 runs: give --run, one of run-" in capsys.readouterr().err


@pytest.mark.slow
def test_the_same_on_s3(s3_url, original, capsys):
    (there,) = Store(original / "store").runs()
    run = copied(there, Store(f"{s3_url}/runs").objects)
    # A shard is done there from tables that are there.
    run.objects.delete("commits/directions/" + sorted(run.done("directions"))[0] + ".json")
    finished(original, Store(f"{s3_url}/runs").objects)
    run.objects.put(LOST, b"12345")
    assert command(run, "status") == 0
    assert command(run, "verify") == 0
    assert command(run, "tables", "norms") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("s3://")]
    assert len(lines) == 3
    assert command(run, "vacuum", "--older-than", "0s", "--delete") == 0
    assert run.objects.size(LOST) is None
