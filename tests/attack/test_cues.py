"""Texts are judged by name, by meaning and by the block list; enough of them, from the top down."""

import torch

from clipneuron.attack.cues import Judge, Rules


class Told:
    """Similarities as they were told, 0 of others; counts what it was asked."""

    name = "told"

    def __init__(self, **similarities: float) -> None:
        self.similarities_to = similarities
        self.asked: list[str] = []

    def similarities(self, texts: list[str], others: list[str]) -> torch.Tensor:
        self.asked += texts
        assert others == ["car"]
        return torch.tensor([[self.similarities_to.get(text, 0.0)] for text in texts])


def judge(told: Told, **rules: object) -> Judge:
    return Judge("horse", "car", Rules(**rules), told)


def test_a_text_is_judged_by_name_meaning_and_list():
    told = Told(sedan=0.75, vehicle=0.75 - 2**-12, garage=0.3, cars=0.9)
    texts = ["cars", "sedan", "vehicle", "horses", "two red dogs", "garage", "carpet"]
    found = judge(told, threshold=0.75, blocked=("dog",)).verdicts(texts)
    assert [each.status for each in found] == [
        "synonym",
        "synonym",
        "ok",
        "blocked",
        "blocked",
        "ok",
        "ok",
    ]
    assert [each.reason is None for each in found] == [each.status == "ok" for each in found]
    for verdict, word in zip(found[:5], ["'car'", "0.750", None, "'horse'", "'dog'"], strict=True):
        assert word is None or word in verdict.reason
    assert [round(each.similarity, 2) for each in found[:2]] == [0.9, 0.75]


def test_a_text_is_looked_at_once():
    told = Told()
    asked = judge(told)
    assert asked.verdicts(["sea", "sea", "sky"]) == asked.verdicts(["sky", "sea", "sky"])
    assert sorted(told.asked) == ["sea", "sky"]
    assert asked.verdicts([]) == []


def test_the_best_are_cues_and_the_next_are_surplus():
    texts = ["car", "a", "b", "c", "car park", "d", *(f"w{number}" for number in range(20))]
    found = judge(Told()).listed(texts, 2)
    assert len(found) == 8
    expected = ["synonym", "ok", "ok", "surplus", "synonym", "surplus", "surplus", "surplus"]
    assert [each.status for each in found] == expected
    assert found[3].reason == "2 better ones were found"


def test_a_list_goes_as_deep_as_its_last_cue():
    texts = [*(f"car {number}" for number in range(9)), "a", "car 9", "b", "c", "d", "e"]
    assert [each.status for each in judge(Told()).listed(texts, 2)] == [
        *["synonym"] * 9,
        "ok",
        "synonym",
        "ok",
    ]


def test_a_list_ends_where_too_little_is_found():
    assert [each.status for each in judge(Told()).listed(["a", "car", "b"], 5)] == [
        "ok",
        "synonym",
        "ok",
    ]
    told = Told()
    texts = [f"car {number}" for number in range(1000)]
    assert len(judge(told).listed([*texts, "a"], 2)) == 8
    assert len(told.asked) == 80
    assert judge(Told()).listed([], 3) == []
