"""Prompts go out as lines and come back answered; what is not answered is said."""

import json

import pytest

from clipneuron.models.language.captioner import AnswersFile, Prompt, write_prompts

CAT, DOG = (
    Prompt("Describe cats.", "Be brief.", 3, "cat"),
    Prompt('Describe dogs: é, "x"', seed=3, subject="dog"),
)


def answers_file(folder, *entries):
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_written_prompts_with_answers_added_are_answered(tmp_path):
    path = tmp_path / "prompts.jsonl"
    write_prompts(path, [CAT, DOG])
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert entries[0] == {"class": "cat", "system": "Be brief.", "prompt": CAT.user, "seed": 3}
    answered = [entry | {"answer": f"1. {entry['class']}"} for entry in reversed(entries)]
    captioner = AnswersFile(answers_file(tmp_path, *answered))
    assert captioner.answers([DOG, CAT, DOG]) == ["1. dog", "1. cat", "1. dog"]


def test_prompts_are_not_written_over_answers(tmp_path):
    path = tmp_path / "prompts.jsonl"
    write_prompts(path, [CAT])
    with pytest.raises(ValueError, match="exists already and may hold answers"):
        write_prompts(path, [DOG])
    assert "cats" in path.read_text()
    with pytest.raises(ValueError, match="can't write the prompts"):
        write_prompts(tmp_path / "nowhere" / "prompts.jsonl", [CAT])


def test_a_class_may_stand_for_its_prompt_but_the_prompt_goes_first(tmp_path):
    path = answers_file(tmp_path, {"class": "cat", "answer": "a"}, {"class": "dog", "answer": "b"},
                        {"prompt": DOG.user, "answer": "c"})  # fmt: skip
    assert AnswersFile(path).answers([CAT, DOG]) == ["a", "c"]


def test_a_line_with_another_prompt_does_not_answer_for_its_class(tmp_path):
    path = answers_file(tmp_path, {"class": "cat", "prompt": "An older wording.", "answer": "a"})
    with pytest.raises(ValueError, match="answers 0 of 1"):
        AnswersFile(path).answers([CAT])


def test_each_seed_has_its_own_answer(tmp_path):
    path = answers_file(tmp_path, {"class": "cat", "seed": 1, "answer": "one"},
                        {"class": "cat", "answer": "any"})  # fmt: skip
    prompts = [Prompt("?", seed=seed, subject="cat") for seed in (1, 2)]
    assert AnswersFile(path).answers(prompts) == ["one", "any"]


def test_unanswered_prompts_are_named_and_counted(tmp_path):
    path = answers_file(tmp_path, {"class": "cat", "answer": "a"}, {"class": "c1"})
    prompts = [CAT, *(Prompt(f"p{i}", subject=f"c{i}") for i in range(9)), Prompt("bare prompt")]
    with pytest.raises(
        ValueError, match=r"answers 1 of 11 .*'c0', 'c1', 'c2', \.\.\..*write_prompts"
    ):
        AnswersFile(path).answers(prompts)
    with pytest.raises(ValueError, match="not 'bare prompt': write"):
        AnswersFile(path).answers(prompts[-1:])


def test_the_name_tells_answers_apart_and_not_places(tmp_path):
    one = AnswersFile(answers_file(tmp_path, {"class": "cat", "answer": "a"}))
    (tmp_path / "moved").mkdir()
    same = AnswersFile(answers_file(tmp_path / "moved", {"class": "cat", "answer": "a"}))
    other = AnswersFile(answers_file(tmp_path, {"class": "cat", "answer": "b"}))
    assert one.name == same.name != other.name
    assert str(tmp_path) not in one.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"class": "a", "answer": "b"}\n\nnot json', "line 3 is no JSON"),
        ('["a"]', "line 1: expected an object"),
        ('{"answer": "b"}', 'line 1: expected "prompt" or "class"'),
        ('{"class": "a", "answer": 3}', 'line 1: "answer" is not a text but 3'),
        ('{"class": "a", "seed": "x", "answer": "b"}', '"seed" is a whole number'),
        ('{"class": "a", "answer": "b"}\n{"class": "a", "answer": "c"}', "line 2: a second, different"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        AnswersFile(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"can't read the answers file .*gone\.jsonl"):
        AnswersFile(tmp_path / "gone.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"class": "\xe9", "answer": "b"}')
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        AnswersFile(tmp_path / "latin.jsonl")


def test_a_byte_order_mark_and_equal_repetitions_do_no_harm(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"class": "cat", "answer": "a"}\r\n' * 1 + b'{"class": "cat", "answer": "a"}'
    )
    assert AnswersFile(path).answers([CAT]) == ["a"]
