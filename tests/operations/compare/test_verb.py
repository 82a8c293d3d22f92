"""`clipneuron compare` on the command line: runs by name, files, limits and their exit status."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clipneuron.cli import main
from tests.cli.user import imported_by
from tests.samples.compared import exchanged, renamed, world, written

ROOT = Path(__file__).parents[3]
PLANTED = [((0, 1), (1, 4))]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, each of another sweep: the second has two neurons exchanged, the third is as the second."""
    root = tmp_path_factory.mktemp("compare") / "runs"
    one = replace(world(), concepts={"nearest": {"a.png": ["ship"], "b.png": ["egg", "hen"]}})
    other = exchanged(one, PLANTED)
    worse = replace(
        other,
        concepts={"nearest": {"a.png": ["ship"], "b.png": ["hen", "egg"]}},
        correlation={layer: values - 0.25 for layer, values in one.correlation.items()},
        accuracy={("none", -1, -1): 30, ("all", 0, -1): 30},
    )
    for name, found in (("first", one), ("second", other), ("third", worse)):
        written(root, renamed(found, sweep=name), name, block=12, scores=True, accuracies=True)
    return root


def called(store: Path, *words: str) -> int:
    return main(["compare", *words, "--store", str(store)])


def test_two_runs_are_compared_by_the_beginnings_of_their_names(
    store, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    data, rows = (str(tmp_path / name) for name in ("a.json", "a.parquet"))
    assert called(store, "fir", "sec", "--json", data, "--parquet", rows) == 0
    shown = capsys.readouterr().out
    assert re.search(r'identity +│ sweep +│ "first" +│ "second"', shown)
    assert re.search(r"│ +0 │ +#1 │", shown)
    assert re.search(r"│ +1 │ +#4 │", shown)
    table = pq.read_table(rows).to_pylist()
    assert len(table) == 24
    assert {(row["layer"], row["neuron"]) for row in table[:2]} == {(0, 1), (1, 4)}
    assert [row["b"] for row in json.loads(Path(data).read_text())["reasons"]] == ['"second"']


def test_the_newest_runs_are_compared(store, capsys):
    assert called(store, "--last", "2") == 0
    assert re.search(r"A: second-\w+ .*\nB: third-", capsys.readouterr().out)
    assert called(store, "--last", "3") == 0
    assert re.search(r"A: first-\w+ .*\nB: third-", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("first", "second", "--fail-below", "0.9"), 4, "8.33% of the neurons have a cosine below"),
        (("first", "second", "--fail-below", "0.9", "--fail-share", "0.1"), 0, ""),
        (
            ("first", "second", "--fail-words", "0.05"),
            4,
            "8.33% of the neurons gained or lost a word",
        ),
        (
            ("first", "second", "--fail-words", "0.1", "--fail-score", "0", "--fail-accuracy", "0"),
            0,
            "",
        ),
        (("first", "third", "--fail-score", "0.2"), 4, "the mean correlation of the words fell"),
        (("first", "third", "--fail-accuracy", "0.1"), 4, "none fell by 15.00%"),
        (
            ("first", "third", "--fail-concepts", "0.4"),
            4,
            "50.00% of the pictures have another first concept by nearest; allowed are 40.00%",
        ),
        (("first", "second", "--fail-concepts", "0"), 0, ""),
        (("second", "third", "--fail-below", "1", "--fail-share", "0.5"), 0, ""),
    ],
)
def test_limits_decide_the_exit_status(store, capsys, words, status, said):
    assert called(store, *words) == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("first",), "name two runs to compare, or ask for the newest two with --last 2"),
        (("first", "first"), "are the same run"),
        (("first", "nothing"), "no run in .* starts with 'nothing'"),
        (("--last", "7"), "--last 7 needs as many runs in .*; there are 3"),
        (("fir", "--last", "2"), "whose names begin with 'fir'.*there are 1"),
        (("first", "second", "--last", "1"), "--last 2 compares the two newest runs"),
        (("--last", "2", "--store-b", "elsewhere"), "--last looks at one store"),
        (("first", "second", "--fail-share", "0.1"), "--fail-share needs --fail-below"),
        (("first", "second", "--match", "--fail-words", "0"), "leave one out"),
        (("first", "second", "--json", "a.csv"), "expected a name that ends in .json"),
        (("first", "second", "--parquet", "no/a.parquet"), "there is no such folder"),
    ],
)
def test_mistakes_are_answered_with_what_to_do(store, capsys, words, message):
    assert called(store, *words) == 1
    assert re.search(message, capsys.readouterr().err)


def test_a_limit_on_what_nobody_computed_is_an_error_that_names_the_verb(tmp_path, capsys):
    one = world()
    written(tmp_path / "a", one, block=12)
    written(tmp_path / "b", one, block=12)
    words = [
        "compare",
        "sample",
        "sample",
        "--store",
        str(tmp_path / "a"),
        "--store-b",
        str(tmp_path / "b"),
    ]
    assert main([*words, "--fail-score", "0.1"]) == 1
    assert "which --fail-score is about: `clipneuron explain`" in capsys.readouterr().err
    assert main([*words, "--match", "norms"]) == 0
    assert re.search(r"norms +│ +12 │ +1.000 │ +100.0%", capsys.readouterr().out)


@pytest.mark.process
def test_it_needs_neither_torch_nor_ray(store, tmp_path):
    words = ["--store", str(store)]
    (compared, matched) = imported_by(
        [["compare", "first", "second", *words], ["compare", "first", "second", *words, "--match"]],
        tmp_path,
    )
    assert (compared[0], matched[0]) == (0, 0)
    assert not {"torch", "ray", "open_clip", "transformers"} & matched[1]
