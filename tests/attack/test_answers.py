"""An answer is kept once, under its whole question."""

import pytest

from clipneuron.attack.answers import Answers, digest
from clipneuron.store.errors import StoreError
from clipneuron.store.objects.local import LocalObjects

QUESTION = {"captioner": "llama", "prompt": "Tell me.", "seed": 1}


@pytest.fixture
def answers(tmp_path):
    return Answers(LocalObjects(tmp_path))


def test_the_first_answer_stays(answers):
    assert answers.find(QUESTION) is None
    assert answers.keep(QUESTION, "1. först") == "1. först"
    assert answers.keep(QUESTION, "another") == "1. först"
    assert answers.find(dict(reversed(QUESTION.items()))) == "1. först"


@pytest.mark.parametrize(
    "change", [{"captioner": "gpt"}, {"prompt": "Tell"}, {"seed": 2}, {"x": 1}]
)
def test_another_question_has_an_answer_of_its_own(answers, change):
    answers.keep(QUESTION, "one")
    assert answers.find(QUESTION | change) is None
    assert answers.keep(QUESTION | change, "two") == "two"
    assert answers.find(QUESTION) == "one"


def test_text_that_is_no_unicode_is_kept_too(answers):
    answers.keep(QUESTION, "\ud800 \0")
    assert answers.find(QUESTION) == "\ud800 \0"


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"answer": 3}', b'{"answer"'])
def test_a_damaged_answer_is_named(answers, tmp_path, damage):
    answers.keep(QUESTION, "one")
    path = tmp_path / "answers" / f"{digest(QUESTION)}.json"
    path.write_bytes(damage)
    with pytest.raises(StoreError, match=f"{digest(QUESTION)}.json"):
        answers.find(QUESTION)
