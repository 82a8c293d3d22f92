"""What a reasoning model thinks is not read."""

import pytest

from clipneuron.models.language.lists import parsed
from clipneuron.models.language.thoughts import spoken

HARMONY = (
    "<|channel|>analysis<|message|>1. a draft<|end|><|start|>assistant<|channel|>final<|message|>"
)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("1. a dog", "1. a dog"),
        (" \n1. a dog ", " \n1. a dog "),
        ("<think>\n1. a draft\n</think>\n\n1. a dog", "1. a dog"),
        ("1. a draft\n</think>\n1. a dog", "1. a dog"),
        ("<think>1. a draft", ""),
        ("<think>is <think> a tag?</think>1. a dog", "1. a dog"),
        ("<think>a</think> 1. a draft </think>1. a dog", "1. a dog"),
        ("<reasoning>1. a <think>b</think></reasoning>1. a dog", "1. a dog"),
        ("1. a dog\n<thinking>2. a draft</thinking>2. a cat", "1. a dog\n2. a cat"),
        ("<Think a='b'>1. a draft</THINK >1. a dog", "1. a dog"),
        ("[THINK]1. a draft[/THINK]1. a dog", "1. a dog"),
        ("◁think▷1. a draft◁/think▷1. a dog", "1. a dog"),
        ("<seed:think>1. a draft</seed:think>1. a dog", "1. a dog"),
        ("<|begin_of_thought|>1. a draft<|end_of_thought|>1. a dog", "1. a dog"),
        (HARMONY + "1. a dog<|return|>", "1. a dog"),
        (HARMONY + "1. a dog", "1. a dog"),
        ("<|channel|>analysis<|message|>1. a draft", ""),
        ("1. a <thinker> in bronze", "1. a <thinker> in bronze"),
    ],
)
def test_only_what_is_said_is_read(answer: str, said: str) -> None:
    assert spoken(answer) == said


def test_drafts_are_no_items_of_a_list() -> None:
    assert parsed("<think>\n1. A draft\n2. Another\n</think>\n\n1. A dog\n2. A cat") == [
        "A dog",
        "A cat",
    ]
    assert parsed("<think>\n1. A draft\n2. Another") == []
