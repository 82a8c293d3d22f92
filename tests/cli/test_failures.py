"""`clipneuron failures`: all that failed, from the store alone."""

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clipneuron.cli import main
from clipneuron.store.outlines import StageOrder
from clipneuron.store.store import Failure, Run
from tests.cli.user import imported_by
from tests.samples.tables import means, new_run

BAD = [
    Failure("cat/1.png", "not_an_image", "cat/1.png: this is a Git LFS pointer"),
    Failure("=2.png", "empty", "the file =2.png has no bytes"),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two pictures that two stages could not use, a shard that failed twice, and one that was done after all."""
    found = new_run(tmp_path / "store")
    found.announce(StageOrder(stages=("plan", "calibrate", "effects"), kinds=(), details={}))
    for stage in ("effects", "calibrate"):
        found.commit(stage, "0000", {"means": means(1.0)}, failures=BAD)
        found.commit(stage, "0001", {"means": means(1.0)})
    for shard in ("0001", "0002", "0002"):
        found.record_failure("effects", shard, ValueError(f"{shard} is too large"))
    return found


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_all_that_failed_is_listed_with_causes(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["failures", "--store", run.url.rpartition("/")[0]]) == 0
    out = capsys.readouterr().out
    assert "3 failures" in out
    assert "1 not_an_image (cat/1.png: this is a Git LFS pointer)" in out
    assert "1 attempts (ValueError: 0002 is too large (attempt 2))" in out
    for word in ("calibrate, effects", "0000", "cat/1.png", "=2.png", "empty"):
        assert word in out


def test_as_csv_by_the_runs_address(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["failures", run.url, "--table"]) == 0
    found = rows_of(capsys.readouterr().out)
    assert [row["picture"] for row in found] == ["cat/1.png", "'=2.png", ""], "no formula"
    assert found[0] == {
        "stages": "calibrate, effects",
        "shard": "0000",
        "picture": "cat/1.png",
        "status": "not_an_image",
        "reason": "cat/1.png: this is a Git LFS pointer",
    }


def test_as_a_file(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.csv", "a.parquet"):
        assert main(["failures", run.url, "--table", str(tmp_path / name)]) == 0
        assert "3 rows" in capsys.readouterr().out
    table = pq.read_table(tmp_path / "a.parquet")
    assert table["picture"].to_pylist() == ["cat/1.png", "=2.png", ""]
    assert len(rows_of((tmp_path / "a.csv").read_text())) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--table", "a.xlsx"], ".csv or .parquet"),
        (["nothing"], "Give its address"),
        (["nothing", "--store", "there"], "starts with 'nothing'"),
    ],
)
def test_what_cannot_be_answered_is_said(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    Path(run.url).parent.rename(Path(run.url).parents[1] / "there")
    monkeypatch.chdir(Path(run.url).parents[1])
    assert main(["failures", *words]) == 1
    assert says in capsys.readouterr().err


def test_nothing_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new_run(tmp_path / "store")
    assert main(["failures", "--store", str(tmp_path / "store")]) == 0
    assert "nothing failed" in capsys.readouterr().out


@pytest.mark.process
def test_no_model_and_no_cluster_is_needed(run: Run, tmp_path: Path) -> None:
    [(status, modules)] = imported_by([["failures", run.url]], tmp_path)
    assert status == 0
    assert not modules & {"torch", "ray", "pandas", "s3fs"}
