"""Captions are asked for until there are enough, sorted out, and never paid for twice."""

import re

import pytest

from clipneuron.attack.prompts import CaptionRequest
from clipneuron.models.language.captioner import AnswersFile, write_prompts
from clipneuron.tables.experiments import experiments
from tests.samples.attack_world import (
    METHODS,
    PAIRS,
    REPEATS,
    Scripted,
    captions_stage,
    cues_of,
    processed,
    run_with_words,
)

ONE = {"methods": METHODS[:1], "repeats": 1, "pairs": PAIRS[:1]}
GOOD = "\n".join(f"{n}. a horse and {n} wheels" for n in range(1, 9))


@pytest.fixture
def run(tmp_path):
    return run_with_words(tmp_path)


def rows_of(output):
    return output.tables["captions"].to_pylist()


def test_the_captioner_gets_the_words_that_were_kept_best_first(run):
    captioner = Scripted([GOOD])
    processed(captions_stage(captioner=captioner), run)
    assert len(captioner.asked) == len(METHODS) * REPEATS
    for prompt in captioner.asked:
        cues = "\n".join(f"- {word}" for word in cues_of(PAIRS[0]))
        assert f"\n{cues}\n" in prompt.user
        assert "- automobile" not in prompt.user
    assert len({prompt.seed for prompt in captioner.asked}) == len(METHODS) * REPEATS


def test_bad_captions_are_rows_with_reasons(run):
    bad = ["a horse", "HORSES and automobiles", "a Wheel", "Horses, pizza", "horses, pizza.", ""]
    captioner = Scripted(["\n".join(f"{n}. {text}" for n, text in enumerate(bad))])
    found = processed(captions_stage(captioner=captioner, rounds=1, **ONE), run)
    rows = rows_of(found)
    statuses = ["ok", "names-c2", "lacks-c1", "ok", "duplicate", "empty"]
    assert [row["caption"] for row in rows] == bad
    assert [row["status"] for row in rows] == statuses
    assert [row["number"] for row in rows] == list(range(6))
    assert all(bool(row["reason"]) == (row["status"] != "ok") for row in rows)
    assert [row["words"] for row in rows[2:4]] == [["wheel"], ["pizza"]]
    assert [row["chosen"] for row in rows] == [status == "ok" for status in statuses]
    assert [item.status for item in found.failures] == ["too-few"]
    assert "2 of 6 captions can be painted, 3 are wanted" in found.failures[0].reason


def test_too_few_are_asked_for_again_with_other_seeds_until_there_are_enough(run):
    halves = ["\n".join(GOOD.splitlines()[:5]), "\n".join(GOOD.splitlines()[3:]), GOOD]
    captioner = Scripted(halves)
    found = processed(captions_stage(captioner=captioner, rounds=9, **ONE), run)
    assert len(captioner.asked) == 2
    first, second = captioner.asked
    assert (first.user, first.system) == (second.user, second.system)
    assert first.seed != second.seed
    rows = rows_of(found)
    assert [row["status"] for row in rows].count("ok") == 8
    assert {row["seed"] for row in rows[:5]} == {first.seed}
    assert {row["seed"] for row in rows[5:]} == {second.seed}
    assert found.failures == []


@pytest.mark.parametrize("answer", ["I can't help with that.", "", "\ud800\0 \x1b[31m"])
def test_answers_without_a_list_use_up_the_rounds_and_are_rows(run, answer):
    captioner = Scripted([answer])
    found = processed(captions_stage(captioner=captioner, rounds=3, **ONE), run)
    assert len(captioner.asked) == 3
    assert [row["status"] for row in rows_of(found)] == ["empty"] * 3
    assert [row["reason"] for row in rows_of(found)] == ["no list in the answer"] * 3
    assert not any(row["chosen"] for row in rows_of(found))
    [failure] = found.failures
    assert failure.image == "horse-automobile-second-order-00"
    run.commit("captions", "all", found.tables)


@pytest.mark.slow
def test_an_endless_list_is_cut_off(run):
    endless = "\n".join(["- a horse"] * 20_000)
    found = processed(captions_stage(captioner=Scripted([endless]), rounds=2, **ONE), run)
    assert 100 < len(rows_of(found)) < 2000


def test_without_words_nothing_is_asked(tmp_path):
    run = run_with_words(tmp_path, lambda pair: [])
    captioner = Scripted([GOOD])
    found = processed(captions_stage(captioner=captioner), run)
    assert captioner.asked == []
    assert rows_of(found) == []
    assert {item.reason for item in found.failures} == {"words left no words to make captions of"}
    assert len(found.failures) == len(METHODS) * REPEATS


def test_captions_are_drawn_from_the_good_ones_by_seed(run):
    bad_and_good = "\n".join(["- a car", *(f"- a horse and {n} wheels" for n in range(40))])
    stage = captions_stage(captioner=Scripted([bad_and_good]), wanted=40, rounds=1)
    rows = rows_of(processed(stage, run))
    chosen = {
        one: [
            row["number"]
            for row in rows
            if row["chosen"] and one.columns.items() <= row.items() and row["status"] == "ok"
        ]
        for one in experiments(PAIRS[:1], METHODS, REPEATS)
    }
    assert all(len(numbers) == 3 for numbers in chosen.values())
    assert len({tuple(numbers) for numbers in chosen.values()}) == len(chosen)
    assert sum(row["chosen"] for row in rows) == 3 * len(chosen)
    other = captions_stage(captioner=Scripted([bad_and_good]), wanted=40, rounds=1, seed=1)
    again = [row["number"] for row in rows_of(processed(other, run)) if row["chosen"]]
    assert again != [row["number"] for row in rows if row["chosen"]]


def test_what_was_answered_before_a_failure_is_not_asked_again(run):
    many = [GOOD.replace("wheels", f"wheels by {n} trees") for n in range(4)]
    captioner = Scripted(many, fails=[2])
    stage = captions_stage(captioner=captioner, group=1)
    with pytest.raises(ConnectionError, match="no answer in 6 tries"):
        processed(stage, run)
    assert len(captioner.asked) == 2
    found = processed(stage, run)
    assert len(captioner.asked) == len({prompt.seed for prompt in captioner.asked}) == 4
    captions = {row["caption"] for row in rows_of(found)}
    assert captions == {re.sub(r"^\d\. ", "", line) for answer in many for line in answer.splitlines()}  # fmt: skip


def test_a_shard_done_again_reads_the_answers_of_the_first_time(run):
    fickle = Scripted([GOOD.replace("wheels", f"wheels by {n} trees") for n in range(99)])
    stage = captions_stage(captioner=fickle)
    assert rows_of(processed(stage, run)) == rows_of(processed(stage, run))
    assert len(fickle.asked) == 4
    processed(captions_stage(captioner=Scripted([GOOD], name="another")), run)
    assert rows_of(processed(stage, run))[0]["captioner"] == "scripted"
    assert len(fickle.asked) == 4


def test_a_captioner_that_miscounts_is_refused(run):
    class Mute(Scripted):
        def answers(self, prompts):
            return []

    with pytest.raises(ValueError, match="scripted gave 0 answers to 4 prompts"):
        processed(captions_stage(captioner=Mute([GOOD])), run)


def test_answers_made_elsewhere_will_do(run, tmp_path):
    file = tmp_path / "prompts.jsonl"
    write_prompts(file, captions_stage().prompts(run))
    lines = file.read_text().splitlines()
    told = '"answer": "1. a horse and the sea\\n2. Horses in a city\\n3. horse on a wheel"}'
    file.write_text("\n".join(line[:-1] + ", " + told for line in lines))
    stage = captions_stage(captioner=lambda: AnswersFile(file), rounds=1)
    for shard in range(len(PAIRS)):
        found = processed(stage, run, shard)
        assert len(rows_of(found)) == 3 * 4
    assert {row["status"] for row in rows_of(found)} == {"lacks-c1"}  # of the last pair, cat:ship


@pytest.mark.parametrize(
    "wrong", [{"chosen": 0}, {"chosen": 9}, {"rounds": 0}, {"rounds": 51}, {"group": 0}]
)
def test_what_can_not_be_done_is_refused(wrong):
    with pytest.raises(ValueError, match="expected 1 <= chosen <= wanted"):
        captions_stage(**wrong)


def test_the_request_can_be_ones_own(run):
    captioner = Scripted([GOOD])
    own = CaptionRequest(template="{c1}, {c2}, {words}", system="Be brief.")
    processed(captions_stage(captioner=captioner, request=own), run)
    assert {prompt.system for prompt in captioner.asked} == {"Be brief."}
    assert all(prompt.user.startswith("horse, automobile, - wheel\n") for prompt in captioner.asked)
