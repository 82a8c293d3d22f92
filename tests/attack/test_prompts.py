"""The request holds both classes and every word; captions are sorted out for what they name."""

import pytest

from clipneuron.attack.prompts import CaptionRequest, caption_fault, named_words
from clipneuron.models.language.captioner import Prompt
from clipneuron.models.language.lists import parsed

WORDS = ["rabbits", "two  cats", "{c2}", "1998", "a sign: 'stop'"]


def test_the_request_names_both_classes_the_count_and_every_word():
    prompt = CaptionRequest(count=12).prompt("stop sign", "yield", WORDS, seed=4)
    assert (prompt.seed, prompt.subject) == (4, "stop sign:yield")
    assert prompt.system
    assert 'contains the word "stop sign"' in prompt.user
    assert 'mentions "yield"' in prompt.user
    assert prompt.user.startswith("Write 12 ")
    assert parsed(prompt.user)[:4] == ["rabbits", "two cats", "{c2}", "1998"]
    assert "- a sign: 'stop'\n" in prompt.user
    assert "50" in CaptionRequest().prompt("cat", "dog", WORDS).user


def test_a_template_and_a_role_of_ones_own():
    own = CaptionRequest(template="{c1} not {c2}:\n{words}\n{other}", system="")
    assert own.prompt("{c2}", "b", ["x", "y"], 2) == Prompt(
        "{c2} not b:\n- x\n- y\n{other}", "", 2, "{c2}:b"
    )


def test_a_request_that_would_ask_for_nothing_is_refused():
    with pytest.raises(ValueError, match=r"lacks \{c2\}, \{words\}"):
        CaptionRequest(template="Captions of {c1}")
    with pytest.raises(ValueError, match="at least one caption, not 0"):
        CaptionRequest(count=0)
    with pytest.raises(ValueError, match="no words to make captions of 'cat'"):
        CaptionRequest().prompt("cat", "dog", [])


@pytest.mark.parametrize(
    ("caption", "status"),
    [
        ("A horse beside an elevator", "ok"),
        ("HORSES in traffic", "ok"),
        ("A horse in a car", "names-c2"),
        ("Horses and parked Cars", "names-c2"),
        ("A cart in the road", "lacks-c1"),
        ("A car", "names-c2"),
        ("", "empty"),
        (" ... ", "empty"),
    ],
)  # fmt: skip
def test_a_caption_shows_the_first_class_and_never_names_the_second(caption, status):
    found, reason = caption_fault(caption, "horse", "car")
    assert found == status
    assert bool(reason) == (status != "ok")


def test_the_words_that_a_caption_names():
    words = ["rabbit", "traffic light", "sea", "--"]
    assert named_words("Rabbits at traffic lights", words) == ["rabbit", "traffic light"]
