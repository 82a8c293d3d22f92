"""Table 3 counts what it says, hides nothing that is undecided, and claims no more than the pairs allow."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from clipneuron.attack.counts import OURS, PAPER, Rate
from clipneuron.attack.review.decisions import decide
from clipneuron.attack.sheet import UNREVIEWED, convincing, fooling_sheet
from clipneuron.attack.table3 import COLUMNS, Table3
from clipneuron.reports.drawing import GAP, HEADER, LABEL_WIDTH, TILE
from clipneuron.store.store import Run
from tests.samples.attack_tables import KEYS, Shard, attack_run, colour, screened

PAIR = "horse:automobile"
SECOND, RANDOM = Shard(PAIR, "second-order"), Shard(PAIR, "random")


def margins(fooled: int, others: int = 0, failed: int = 0) -> list[float | None]:
    return [0.1] * fooled + [-0.1] * others + [None] * failed


def table(run: Run, comparable: bool = False) -> Table3:
    return Table3.of(run, KEYS, comparable=comparable)


def many(root: Path, rates: Mapping[str, Sequence[int]]) -> Run:
    """Ten pictures per method and pair, of which so many fool."""
    shards = {
        Shard(f"a:{number}", method): margins(fooled, 10 - fooled)
        for method, counts in rates.items()
        for number, fooled in enumerate(counts)
    }
    return attack_run(root, shards)


def printed(found: Table3) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(*found.tables())
    return console.export_text()


def test_rates_are_means_with_the_papers_deviation(tmp_path: Path) -> None:
    # 0, 0 and 3 of 100: the paper writes such as 1.0 (+- 1.4).
    shards = {Shard(PAIR, "random", n): margins(f, 100 - f) for n, f in enumerate((0, 0, 3))}
    rate = table(attack_run(tmp_path, shards)).rate(PAIR, "random")
    assert rate is not None
    assert rate == (pytest.approx(0.01), pytest.approx(0.0141421356))
    assert PAPER[PAIR]["random"] == (0.010, 0.014)


def test_rates_are_of_judged_pictures_and_failures_are_counted(tmp_path: Path) -> None:
    shards = {
        SECOND: margins(3, 3, 4),
        Shard(PAIR, "second-order", 1): margins(2, 8),
        Shard(PAIR, "second-order", 2): margins(0, 0, 5),
    }
    found = table(attack_run(tmp_path, shards))
    rate = found.rate(PAIR, "second-order")
    assert rate is not None
    assert rate.mean == pytest.approx((0.5 + 0.2) / 2)
    assert (found.total("failed"), found.total("judged"), found.total("fooled")) == (9, 16, 5)
    assert "16 pictures were judged and 9 failed; 5 fool the model." in found.markdown()
    [cell] = found.cells
    assert [counts.repeat for counts in cell.repeats] == [0, 1, 2]


def test_a_method_that_was_not_tried_has_no_rate(tmp_path: Path) -> None:
    found = table(attack_run(tmp_path, {SECOND: margins(1, 1), RANDOM: margins(0, 0, 2)}))
    assert found.rate(PAIR, "similar") is None
    assert found.rate(PAIR, "random") is None
    assert found.mean("random") is None
    assert found.comparisons("raw") == []
    assert found.verdict("raw").verdict == "not computed"


def test_only_kept_pictures_count_after_review(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: margins(6, 4)})
    assert table(run).measures == ["raw"]
    words = ("keep", "keep", "shows-c2", "lacks-c1", "keep")
    for number, word in enumerate(words):
        decide(run, KEYS.pictures, "ada", SECOND.picture(number), word)  # type: ignore[arg-type]
    decide(run, KEYS.pictures, "alan", SECOND.picture(4), "shows-c2")
    decide(run, KEYS.pictures, "ada", SECOND.picture(9), "keep")  # does not fool: never counts
    found = table(run)
    assert found.measures == ["raw", "reviewed"]
    [counts] = found.cells[0].repeats
    assert (counts.kept, counts.removed, counts.disputed, counts.unreviewed) == (2, 2, 1, 1)
    assert found.rate(PAIR, "second-order") == (0.6, 0.0)
    assert found.rate(PAIR, "second-order", "reviewed") == (0.2, 0.0)
    assert found.open_questions("reviewed") == "1 unreviewed and 1 disputed of 6 fooling pictures"
    assert "At least so many: 1 unreviewed and 1 disputed" in found.markdown()
    decide(run, KEYS.pictures, "alan", SECOND.picture(4), "keep")
    decide(run, KEYS.pictures, "ada", SECOND.picture(5), "lacks-c1")
    assert table(run).open_questions("reviewed") == ""
    assert table(run).rate(PAIR, "second-order", "reviewed") == (pytest.approx(0.3), 0.0)


def test_decisions_on_pictures_of_another_stage_do_not_count(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: margins(2)})
    decide(run, "pictures-of-another-painter", "ada", SECOND.picture(0), "shows-c2")
    assert table(run).measures == ["raw"]


def test_what_is_undone_is_unreviewed_again(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: margins(2)})
    for number in range(2):
        decide(run, KEYS.pictures, "ada", SECOND.picture(number), "keep")
    decide(run, KEYS.pictures, "ada", SECOND.picture(0), "undone")
    [counts] = table(run).cells[0].repeats
    assert (counts.kept, counts.unreviewed) == (1, 1)


def test_the_screening_is_a_measure_of_its_own(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: margins(6, 4)})
    seen = [(True, False), (True, True), (False, False), (True, None), (None, True), (None, None)]
    run.commit("screening", SECOND.name, {"screening": screened(SECOND, seen)})
    found = table(run)
    assert found.measures == ["raw", "screened"]
    [counts] = found.cells[0].repeats
    assert (counts.suggested, counts.unknown, counts.unreviewed) == (1, 2, 6)
    assert found.rate(PAIR, "second-order", "screened") == (0.1, 0.0)
    assert found.open_questions("screened") == "2 unknown of 6 fooling pictures"
    assert "a suggestion" in found.markdown()


def test_pictures_that_nobody_screened_are_unknown(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: margins(3)})
    run.commit("screening", SECOND.name, {"screening": screened(SECOND, [(True, False)])})
    [counts] = table(run).cells[0].repeats
    assert (counts.suggested, counts.unknown) == (1, 2)


def test_second_order_that_always_wins_holds(tmp_path: Path) -> None:
    rates = {"second-order": [5, 6, 4, 5, 5], "random": [0, 1, 0, 1, 0], "similar": [2, 2, 2, 2, 2]}
    found = table(many(tmp_path, rates))
    random, similar = found.comparisons("raw")
    assert (random.baseline, random.pairs) == ("random", 5)
    assert (random.ours, random.theirs) == (pytest.approx(0.5), pytest.approx(0.04 + 0.0))
    assert random.difference.value == pytest.approx(0.46)
    assert 0.4 <= random.difference.low < 0.46 < random.difference.high <= 0.5
    assert similar.difference.value == pytest.approx(0.3)
    assert found.verdict("raw").verdict == "holds"


def test_second_order_that_loses_to_one_baseline_does_not_hold(tmp_path: Path) -> None:
    rates = {"second-order": [2, 2, 3, 2, 2], "random": [0] * 5, "indirect": [7, 6, 7, 8, 7]}
    found = table(many(tmp_path, rates))
    assert found.verdict("raw").verdict == "does not hold"
    assert {c.baseline: c.judgement.verdict for c in found.comparisons("raw")} == {
        "random": "holds",
        "indirect": "does not hold",
    }


def test_what_may_be_chance_cannot_be_judged(tmp_path: Path) -> None:
    found = table(many(tmp_path, {"second-order": [5, 0, 4, 0, 1], "random": [0, 5, 0, 3, 1]}))
    assert found.verdict("raw").verdict == "cannot be judged"


def test_differences_are_taken_pair_by_pair(tmp_path: Path) -> None:
    # Pairs differ wildly, but second order is one better on each: unpaired means would show nothing.
    counts = [0, 9, 3, 6, 1, 8]
    found = table(many(tmp_path, {"second-order": [n + 1 for n in counts], "random": counts}))
    [comparison] = found.comparisons("raw")
    assert comparison.difference == pytest.approx((0.1, 0.1, 0.1))


def test_pairs_without_a_baseline_are_no_part_of_its_comparison(tmp_path: Path) -> None:
    found = table(many(tmp_path, {"second-order": [9, 5, 5], "random": [0, 0], "similar": [1]}))
    random, similar = found.comparisons("raw")
    assert (random.pairs, random.ours) == (2, pytest.approx(0.7))
    assert (similar.pairs, similar.ours) == (1, pytest.approx(0.9))


def test_few_pairs_are_not_judged(tmp_path: Path) -> None:
    found = table(many(tmp_path, {"second-order": [9] * 4, "random": [0] * 4}))
    verdict = found.verdict("raw")
    assert verdict.verdict == "cannot be judged"
    assert "+90.0 points over 4 pairs, of which 5 are needed" in verdict.why


def test_an_unfinished_review_is_not_judged(tmp_path: Path) -> None:
    run = many(tmp_path, {"second-order": [1] * 5, "random": [0] * 5})
    shards = [Shard(f"a:{number}", "second-order") for number in range(5)]
    for shard in shards[:4]:
        decide(run, KEYS.pictures, "ada", shard.picture(0), "keep")
    verdict = table(run).verdict("reviewed")
    assert verdict == ("cannot be judged", "not finished: 1 unreviewed of 5 fooling pictures")
    decide(run, KEYS.pictures, "ada", shards[4].picture(0), "keep")
    assert table(run).verdict("reviewed").verdict == "holds"


def test_the_paper_stands_beside_its_own_pairs_and_model_only(tmp_path: Path) -> None:
    papers = Shard(PAIR, "second-order-paper")
    run = attack_run(tmp_path, {papers: margins(7, 93), Shard("cat:dog", "second-order"): [0.1]})
    beside = table(run, comparable=True)
    assert beside.pairs == ["horse:automobile", "cat:dog"]
    assert "7.0 ± 0.0 [5.3 ± 1.9]" in beside.markdown()
    assert "7.0 ± 0.0 [5.3 ± 1.9]" in printed(beside)
    assert "| cat → dog | - | 100.0 ± 0.0 |" in beside.markdown()
    alone = table(run)
    assert "[" not in alone.markdown()
    assert "In brackets" not in alone.markdown()


def test_the_papers_own_numbers_are_all_there() -> None:
    means = {
        method: sum(PAPER[pair][method].mean for pair in PAPER) / len(PAPER)
        for method in COLUMNS
        if method != OURS
    }
    assert len(PAPER) == 5
    assert {method: round(mean * 100, 2) for method, mean in means.items()} == {
        "random": 0.58,
        "indirect": 2.02,
        "similar": 2.12,
        "second-order-paper": 9.74,
    }
    assert PAPER["dog:deer"]["second-order-paper"] == Rate(0.227, 0.005)


def test_files_hold_the_same_numbers(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: margins(3, 7), RANDOM: margins(1, 8, 1)})
    files = table(run).files()
    assert files == table(run).files()
    rates = list(csv.DictReader(io.StringIO(files["table3.csv"].decode())))
    assert [(row["method"], row["measure"]) for row in rates] == [
        ("random", "raw"),
        ("second-order", "raw"),
    ]
    assert float(rates[0]["mean"]) == pytest.approx(1 / 9)
    assert (rates[0]["failed"], rates[0]["judged"], rates[0]["paper_mean"]) == ("1", "9", "")
    repeats = list(csv.DictReader(io.StringIO(files["table3-repeats.csv"].decode())))
    assert [row["fooled"] for row in repeats] == ["1", "3"]
    assert b"| horse \xe2\x86\x92 automobile | 11.1 \xc2\xb1 0.0 | 30.0" in files["table3.md"]


def test_the_terminal_shows_rates_and_comparisons(tmp_path: Path) -> None:
    rates = {"second-order": [5, 6, 4, 5, 5], "random": [0, 1, 0, 1, 0]}
    text = printed(table(many(tmp_path, rates)))
    assert "mean of 5" in text
    assert "Second order beats every baseline: holds" in text
    assert "+46.0 (" in text


def sheet_run(root: Path) -> Run:
    # Captions of two pictures each: 0.9 and 0.8 share one.
    return attack_run(root, {SECOND: [0.9, 0.8, 0.5, -0.1, 0.3, 0.2], RANDOM: [0.99]}, size=2)


def shown(run: Run, count: int = 10) -> dict[str, list[float]]:
    rows = convincing(run, KEYS, count=count)
    return {pair: [round(p.margin, 2) for p in row] for pair, row in rows.items()}


def test_the_sheet_shows_the_best_of_every_caption_first(tmp_path: Path) -> None:
    run = sheet_run(tmp_path)
    assert shown(run) == {PAIR: [0.9, 0.5, 0.3, 0.8, 0.2]}
    assert shown(run, count=2) == {PAIR: [0.9, 0.5]}


def test_removed_and_disputed_pictures_are_not_on_the_sheet(tmp_path: Path) -> None:
    run = sheet_run(tmp_path)
    decide(run, KEYS.pictures, "ada", SECOND.picture(0, 2), "shows-c2")
    decide(run, KEYS.pictures, "ada", SECOND.picture(2, 2), "keep")
    decide(run, KEYS.pictures, "alan", SECOND.picture(2, 2), "lacks-c1")
    assert shown(run) == {PAIR: [0.8, 0.3, 0.2]}


def test_unreviewed_pictures_are_framed_on_the_sheet(tmp_path: Path) -> None:
    run = sheet_run(tmp_path)
    decide(run, KEYS.pictures, "ada", SECOND.picture(0, 2), "keep")
    rows = convincing(run, KEYS)
    sheet = fooling_sheet(rows, "a title")
    assert sheet.height == HEADER + TILE + 2 * GAP

    def pixel(place: int, inside: int) -> object:
        return sheet.getpixel((LABEL_WIDTH + place * (TILE + GAP) + inside, HEADER + TILE // 2))

    assert (pixel(0, 0), pixel(0, TILE // 2)) == (colour(0), colour(0))
    assert (pixel(1, 0), pixel(1, TILE // 2)) == (UNREVIEWED, colour(2))
    assert isinstance(sheet, Image.Image)


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    run = attack_run(tmp_path, {SECOND: margins(0, 2)})
    rows = convincing(run, KEYS)
    assert rows == {}
    with pytest.raises(ValueError, match="no picture fools the model"):
        fooling_sheet(rows, "a title")
