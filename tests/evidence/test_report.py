"""The report says everything that the tables hold, what is missing from it, and what it must not be taken for."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from clipneuron.evidence import plots
from clipneuron.evidence.distributions import Distributions
from clipneuron.evidence.report import EvidenceReport
from clipneuron.store.store import Run
from clipneuron.tables.ablations import Ablation
from tests.samples import evidence_tables as samples
from tests.samples.evidence_tables import DETAIL, KEYS, NEURONS, NONE

pytestmark = pytest.mark.slow

CARDS = [samples.card(3), samples.card(7)]


def read_picture(index: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (60 * index, 200, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def report_of(run: Run, **changes: object) -> EvidenceReport:
    return EvidenceReport.of(run, KEYS, samples.setting(**changes), read_picture, CARDS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return samples.complete_run(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def report(run: Run) -> EvidenceReport:
    return report_of(run)


@pytest.fixture(scope="module")
def files(report: EvidenceReport) -> dict[str, bytes]:
    return report.files()


def test_the_page_has_every_claim_with_its_criterion(report: EvidenceReport):
    page = report.markdown()
    assert len(report.claims) >= 18
    assert not [claim for claim in report.claims if claim.verdict == "not computed"]
    for number, claim in enumerate(report.claims, 1):
        row = next(line for line in page.splitlines() if line.startswith(f"| {number} |"))
        for cell in (claim.statement, claim.paper, claim.ours, claim.verdict):
            assert cell.replace("|", "\\|") in row
        reasons = next(line for line in page.splitlines() if line.startswith(f"{number}. "))
        assert claim.criterion in reasons
        assert claim.judgement.why in reasons


def test_the_page_says_what_it_must_not_be_taken_for(report: EvidenceReport):
    page = report.markdown()
    caveat = "A small CLIP of rendered scenes; its figures are not figures of CLIP."
    assert page.index(caveat) < page.index("## Claims")
    differences = {claim.difference for claim in report.claims}
    assert differences == {"-", "another model"}


def test_the_papers_own_model_is_compared_in_points(run: Run):
    claims = report_of(run, is_paper_model=True, caveat="").claims
    differences = [claim.difference for claim in claims if claim.difference != "-"]
    assert len(differences) >= 6
    assert all(re.fullmatch(r"[+-]\d+\.\d points(; .*)?", words) for words in differences)


def test_failed_and_unlabelled_pictures_are_named(report: EvidenceReport):
    page = report.markdown()
    assert "2 pictures failed and are left out: `400.png` (truncated file)" in page
    assert "2 pictures have no label" in page
    assert "Accuracies are over 398 pictures" in page


def test_the_page_shows_the_pictures_beside_it(files: dict[str, bytes]):
    page = files["report.md"].decode()
    shown = set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", page))
    assert shown == {name for name in files if name.endswith(".png")}
    assert "neurons.png" in shown
    linked = set(re.findall(r"(?<!!)\[[^]]*\]\(([^)]+)\)", page))
    assert linked == {name for name in files if name.endswith((".csv", ".json"))}


def test_words_stand_with_their_signs_by_pool(report: EvidenceReport):
    rows = [line for line in report.markdown().splitlines() if line.startswith("| 9 | #")]
    words = "-“frost”<br>+“a \\| pipe”<br>+“snow”"
    assert rows == [
        f"| 9 | #{neuron} | {words} | +“a picture of falling snow” |" for neuron in (3, 7)
    ]


def test_the_data_are_those_of_the_report(report: EvidenceReport, files: dict[str, bytes]):
    rows = list(csv.DictReader(io.StringIO(files["accuracies.csv"].decode())))
    row = next(row for row in rows if (row["ablation"], row["layer"]) == ("all", str(DETAIL)))
    every = Ablation("all", DETAIL)
    accuracies = report.evidence.accuracies
    assert float(row["accuracy"]) == pytest.approx(accuracies.accuracy(every).value)
    assert float(row["drop_low"]) == pytest.approx(accuracies.drop(every).low)
    neurons = list(csv.DictReader(io.StringIO(files["neurons.csv"].decode())))
    assert len(neurons) == 11 * NEURONS
    claims = json.loads(files["claims.json"])
    assert [claim["verdict"] for claim in claims] == [claim.verdict for claim in report.claims]


@pytest.mark.slow
def test_the_same_tables_give_the_same_bytes(run: Run, files: dict[str, bytes]):
    assert report_of(run).files() == files


def test_the_terminal_sees_claims_and_accuracies(report: EvidenceReport):
    console = Console(width=250, file=io.StringIO())
    claims, layers = report.tables()
    assert claims.row_count == len(report.claims)
    assert layers.row_count == 11
    for table in (claims, layers):
        console.print(table)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "another model" in written
    assert "w/o small" in written


def second_order_only(run: Run) -> None:
    right = {NONE: [True] * 6 + [False] * 4, ("all", 3, -1): [True] * 3 + [False] * 7}
    tables = {
        "predictions": samples.predictions(right),
        "significance": samples.significance(3, 10, [1, 2]),
    }
    run.commit("ablations", "0", tables)


def first_order_only(run: Run) -> None:
    right = {NONE: [True] * 6 + [False] * 4, ("attention", 3, -1): [False] * 10}
    tables = {
        "predictions": samples.predictions(right),
        "first_order": samples.first_order(np.ones((2, 2)), 10),
    }
    run.commit("first-order", "0", tables)


@pytest.mark.parametrize("fill", [lambda run: None, second_order_only, first_order_only])
def test_what_is_missing_is_said_and_hinders_nothing(tmp_path: Path, fill: Callable[[Run], None]):
    run = samples.new_run(tmp_path)
    fill(run)
    report = EvidenceReport.of(run, KEYS, samples.setting(), read_picture, [])
    verdicts = [claim.verdict for claim in report.claims]
    assert verdicts.count("not computed") >= 6
    page = report.files()["report.md"].decode()
    assert all(claim.statement in page for claim in report.claims)
    assert "neurons.png" not in page
    assert len(report.tables()) == 2


def test_counts_and_sizes_of_all_shards_go_together(tmp_path: Path):
    run = samples.new_run(tmp_path)
    for shard, (count, above, size) in {"0": (10, [1, 2], 1.0), "1": (30, [3, 0], 3.0)}.items():
        tables = {
            "predictions": samples.predictions({NONE: [True]}),
            "significance": samples.significance(3, count, above),
            "first_order": samples.first_order(np.full((2, 3), size), count),
        }
        run.commit("ablations", shard, tables)
    known = [samples.directions(layer, [0.5, 0.25], [0.1, np.nan]) for layer in (4, 3)]
    for shard, table in enumerate(known):
        run.commit("directions", str(shard), {"directions": table})
    found = Distributions.of(run, "directions", "ablations", "", "ablations")
    assert found.above[3].tolist() == [0.1, 0.05]
    assert found.energy[3].tolist() == [0.2, 0.1]
    assert found.heads.shape == (2, 3)
    assert found.heads == pytest.approx(np.sqrt((10 * 1 + 30 * 9) / 40))
    assert list(found.explained) == [3, 4]
    assert found.explained[3].tolist() == [0.5, 0.25]
    assert found.indirect == {}


def test_stages_that_differ_undisturbed_are_mentioned(
    report: EvidenceReport, monkeypatch: pytest.MonkeyPatch
):
    assert "undisturbed predictions differ" not in report.markdown()
    monkeypatch.setattr(plots, "drawn", lambda evidence: {})  # the page's sentences alone
    accuracies = replace(report.evidence.accuracies, disagreements=3)
    evidence = replace(report.evidence, accuracies=accuracies)
    assert "differ on 3 pictures" in replace(report, evidence=evidence).markdown()


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["where", "claim", "verdict"]),
        (120, ["where", "claim", "paper", "ours", "verdict"]),
        (160, ["where", "claim", "paper", "ours", "difference", "verdict"]),
    ],
)
def test_claims_can_be_read_at_every_width(report: EvidenceReport, width: int, columns: list[str]):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(report.tables()[0])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [cell.strip() for cell in lines[2].strip("┃").split("┃")] == columns
    words = {word for line in lines for word in line.replace("│", " ").split()}
    statements = {word for claim in report.claims for word in claim.statement.split()}
    assert statements <= words, "no word is cut"
    assert len(lines) < 7 * len(report.claims)
