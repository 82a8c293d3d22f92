"""docs/tables.md: its programs run, on a disk and on S3."""

import re
from pathlib import Path

import pytest

from clipneuron.store.store import Store
from tests.samples.world import copied, finished

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"```python( s3)?\n(.*?)```", (DOCS / "tables.md").read_text(), re.DOTALL)


def run_blocks(of_s3: bool, names: dict[str, object], place: str = "") -> None:
    blocks = [text for mark, text in BLOCKS if bool(mark) == of_s3]
    assert blocks
    for text in blocks:
        exec(text.replace("s3://my-bucket/runs", place) if place else text, names)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A folder with the store of a complete run, as the page has it."""
    folder = tmp_path_factory.mktemp("demo")
    finished(folder, "demo-run", name="demo")
    return folder


@pytest.mark.slow
def test_the_python_of_the_tables_page_runs(demo, monkeypatch, capsys):
    monkeypatch.chdir(demo)
    names: dict[str, object] = {}
    run_blocks(False, names)
    run = names["run"]
    directions = run.read("directions", "directions")
    assert len(names["directions"]) == directions.num_rows
    assert list(names["by_layer"].index) == [0, 1]
    norms = run.read("effects", "norms").to_pylist()
    best = max((row for row in norms if row["layer_1"]), key=lambda row: row["layer_1"][3])
    assert names["top"]["image"][0] == best["image"]
    assert len(names["top"]) == 5
    pursuits = run.read(run.stage("descriptions"), "pursuits")
    assert len(names["words"]) == pursuits["words_note"].null_count > 0
    assert names["words"]["words"][0].count(", ") == 3
    assert "explained_variance" in capsys.readouterr().out


@pytest.mark.slow
def test_the_python_of_the_tables_page_runs_on_s3(demo, s3_url):
    (there,) = Store(demo / "demo-run").runs()
    run = copied(there, Store(f"{s3_url}/runs").objects)
    names: dict[str, object] = {}
    exec("import duckdb\nimport pandas as pd\nfrom clipneuron import Store", names)
    run_blocks(True, names, place=f"{s3_url}/runs")
    assert len(names["on_s3"]) == run.read("directions", "directions").num_rows
    assert names["files"][0].startswith(s3_url)
