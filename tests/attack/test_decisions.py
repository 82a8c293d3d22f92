"""Decisions of people: none is lost or overwritten, the latest counts, and copies of a review come together."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from clipneuron.attack.review import decisions as reviews
from clipneuron.attack.review.decisions import Agreement, Choice, decide, decisions, history
from clipneuron.store.store import Run
from tests.samples.tables import new_run

STAGE = "pictures-0af3"
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PICTURE = "stop sign:yield/second-order/0/3-07"


@pytest.fixture
def run(place: str) -> Run:
    return new_run(place)


def thoughts(table: pa.Table) -> dict[tuple[str, str], str]:
    columns = (table[name].to_pylist() for name in ("reviewer", "picture", "decision"))
    return {(who, picture): what for who, picture, what in zip(*columns, strict=True)}


def said(*rows: tuple[str, str, Choice]) -> pa.Table:
    made = [
        reviews.Decision(
            stage=STAGE, picture=picture, decision=what, reviewer=who, time=TIME, number=0
        )
        for who, picture, what in rows
    ]
    return reviews._table(made)


def test_a_decision_is_a_row_with_who_when_and_why(run: Run) -> None:
    decision = decide(run, STAGE, "ada", PICTURE, "shows-c2", "a sign, faintly")
    [row] = decisions(run, STAGE).to_pylist()
    assert (row["picture"], row["decision"], row["reviewer"]) == (PICTURE, "shows-c2", "ada")
    assert (row["note"], row["number"]) == ("a sign, faintly", 0)
    assert row["time"] == decision.time
    assert row["time"].utcoffset().total_seconds() == 0


def test_the_latest_counts_and_all_of_them_are_kept(run: Run) -> None:
    words: list[Choice] = ["keep", "lacks-c1", "keep", "shows-c2"]
    for word in words:
        decide(run, STAGE, "ada", PICTURE, word)
    assert thoughts(decisions(run, STAGE)) == {("ada", PICTURE): "shows-c2"}
    assert history(run, STAGE)["decision"].to_pylist() == words


def test_what_is_undone_is_undecided_but_remembered(run: Run) -> None:
    decide(run, STAGE, "ada", PICTURE, "keep")
    decide(run, STAGE, "ada", PICTURE, "undone")
    assert decisions(run, STAGE).num_rows == 0
    assert history(run, STAGE)["decision"].to_pylist() == ["keep", "undone"]
    decide(run, STAGE, "ada", PICTURE, "lacks-c1")
    assert decisions(run, STAGE)["decision"].to_pylist() == ["lacks-c1"]


def test_the_eleventh_decision_is_later_than_the_tenth(run: Run) -> None:
    for number in range(11):
        decide(run, STAGE, "ada", PICTURE, "keep" if number < 10 else "shows-c2")
    assert decisions(run, STAGE)["number"].to_pylist() == [10]


def test_windows_that_decide_at_once_lose_nothing(run: Run) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda n: decide(run, STAGE, "ada", PICTURE, "keep", str(n)), range(24))
        )
    assert sorted(decision.number for decision in made) == list(range(24))
    assert sorted(map(int, history(run, STAGE)["note"].to_pylist())) == list(range(24))


def test_the_latest_is_told_by_its_number_wherever_its_row_stands(run: Run) -> None:
    for word in ("keep", "shows-c2"):
        decide(run, STAGE, "ada", PICTURE, word)  # type: ignore[arg-type]
    backwards = history(run, STAGE).sort_by([("number", "descending")])
    assert reviews.standing(backwards)["decision"].to_pylist() == ["shows-c2"]


def test_reviewers_do_not_touch_each_other(run: Run) -> None:
    decide(run, STAGE, "ada", PICTURE, "keep")
    decide(run, STAGE, "alan", PICTURE, "shows-c2")
    decide(run, STAGE, "ada", PICTURE, "undone")
    assert thoughts(decisions(run, STAGE)) == {("alan", PICTURE): "shows-c2"}
    assert history(run, STAGE, "ada").num_rows == 2
    assert decisions(run, STAGE, "al").num_rows == 0


def test_stages_that_paint_under_the_same_ids_are_kept_apart(run: Run) -> None:
    decide(run, STAGE, "ada", PICTURE, "keep")
    decide(run, "pictures-77", "ada", PICTURE, "shows-c2")
    assert decisions(run, STAGE)["decision"].to_pylist() == ["keep"]
    both = pa.concat_tables([history(run, STAGE), history(run, "pictures-77")])
    assert reviews.standing(both).num_rows == 2
    with pytest.raises(ValueError, match="the name of a stage"):
        decisions(run, "../commits")


def test_pictures_that_read_alike_are_told_apart(run: Run) -> None:
    pictures = ["a b:c", "a-b:c", "a:b c", "日本", "中国"]
    for picture in pictures:
        decide(run, STAGE, "ada", picture, "keep")
    assert sorted(decisions(run, STAGE)["picture"].to_pylist()) == sorted(pictures)


@pytest.mark.parametrize("reviewer", ["", "../x", "a b", "a/b"])
def test_a_reviewer_needs_a_name_that_can_be_a_key(run: Run, reviewer: str) -> None:
    with pytest.raises(ValueError, match="the name of a reviewer"):
        decide(run, STAGE, reviewer, PICTURE, "keep")


def test_what_is_no_decision_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="'maybe' is no decision; there are keep, shows-c2"):
        decide(run, STAGE, "ada", PICTURE, "maybe")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without an id"):
        decide(run, STAGE, "ada", "", "keep")
    assert history(run, STAGE).num_rows == 0


def test_a_damaged_decision_is_named_and_does_not_count(run: Run) -> None:
    decide(run, STAGE, "ada", PICTURE, "keep")
    decide(run, STAGE, "alan", PICTURE, "keep")
    [key] = run.objects.list(f"reviews/{STAGE}/ada/")
    run.objects.put(key, b"{}")
    _, [problem] = reviews.recorded(run, STAGE)
    assert f"{key} is damaged" in problem
    assert decisions(run, STAGE)["reviewer"].to_pylist() == ["alan"]


def test_a_run_without_a_review_has_none(run: Run) -> None:
    assert decisions(run, STAGE).equals(reviews.schema().empty_table())
    assert reviews.merged(decisions(run, STAGE)) == {}


def test_reviewers_agree_or_dispute() -> None:
    table = said(
        ("ada", "p1", "keep"),
        ("ada", "p2", "shows-c2"),
        ("ada", "p3", "keep"),
        ("ada", "p4", "keep"),
        ("alan", "p1", "keep"),
        ("alan", "p2", "lacks-c1"),
        ("alan", "p3", "shows-c2"),
        ("alan", "p5", "lacks-c1"),
    )
    assert reviews.merged(table) == {
        "p1": "kept",
        "p2": "removed",
        "p3": "disputed",
        "p4": "kept",
        "p5": "removed",
    }
    # In common: ada keeps 2 of 3, alan 1 of 3; chance 2/9 + 2/9, kappa (2/3 - 4/9) / (5/9).
    [agreement] = reviews.agreements(table)
    assert agreement[:4] == ("ada", "alan", 3, 2)
    assert agreement.kappa == pytest.approx(0.4)


def test_agreement_by_chance_alone_has_no_kappa() -> None:
    table = said(("ada", "p", "keep"), ("alan", "p", "keep"), ("eve", "q", "keep"))
    assert reviews.agreements(table) == [Agreement("ada", "alan", 1, 1, None)]


@pytest.mark.parametrize(
    ("name", "export"), [("r.csv", reviews.as_csv), ("r.parquet", reviews.as_parquet)]
)
def test_an_export_comes_back_whole(run: Run, tmp_path: Path, name: str, export) -> None:
    decide(run, STAGE, "ada", PICTURE, "keep", 'a "note", with\na line')
    decide(run, STAGE, "ada", PICTURE, "undone", "=HYPERLINK(1)")
    decide(run, STAGE, "ada", PICTURE, "keep", "'-1")
    (tmp_path / name).write_bytes(export(history(run, STAGE)))
    assert reviews.load(tmp_path / name).equals(history(run, STAGE))


def test_a_note_is_no_formula_of_a_spreadsheet(run: Run) -> None:
    for note in ("=1+1", "@x", "\r=2"):
        decide(run, STAGE, "ada", PICTURE, "keep", note)
    written = reviews.as_csv(history(run, STAGE)).decode()
    cells = [row["note"] for row in csv.DictReader(io.StringIO(written))]
    assert cells == ["'=1+1", "'@x", "'\r=2"]


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
@pytest.mark.parametrize(
    "content",
    [
        b"picture,decision\na,b\n",
        b"\xff\xfe\x00",
        b"stage,picture,decision,reviewer,time,note,number\ns,p,keep,ada,yesterday,,0\n",
        b"stage,picture,decision,reviewer,time,note,number\ns,p,maybe,ada,2026-01-02T03:04:05Z,,0\n",
    ],
)
def test_another_file_is_no_export(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="holds no decisions"):
        reviews.load(tmp_path / name)


def test_a_review_of_another_copy_is_adopted_once(run: Run, tmp_path: Path) -> None:
    other = new_run(tmp_path / "copy")
    decide(run, STAGE, "ada", PICTURE, "keep")
    decide(other, STAGE, "alan", PICTURE, "keep")
    decide(other, STAGE, "alan", PICTURE, "shows-c2", "after all")
    assert reviews.adopt(run, history(other, STAGE)) == 2
    assert reviews.adopt(run, history(other, STAGE)) == 0
    assert history(run, STAGE, "alan").equals(history(other, STAGE))
    assert reviews.merged(decisions(run, STAGE)) == {PICTURE: "disputed"}


def test_one_reviewer_on_two_copies_is_refused(run: Run, tmp_path: Path) -> None:
    other = new_run(tmp_path / "copy")
    decide(run, STAGE, "ada", PICTURE, "keep")
    decide(other, STAGE, "ada", "another", "keep")
    decide(other, STAGE, "ada", PICTURE, "shows-c2")
    with pytest.raises(ValueError, match=r"ada decided on .* in both copies \(keep here, shows-c2"):
        reviews.adopt(run, history(other, STAGE))
    assert history(run, STAGE).num_rows == 1
