"""Every class is asked for, answers are read, and nothing unfit comes into the pool."""

import json

import pytest

from clipneuron.config.recipe import Recipe
from clipneuron.data import text_pools as texts
from clipneuron.evidence import class_descriptions
from clipneuron.evidence.class_descriptions import (
    Described,
    Description,
    Rejected,
    descriptions,
    parsed,
    prompt_of,
    prompts_of,
)
from clipneuron.evidence.inputs import evaluation_pools_of
from clipneuron.models.language.captioner import AnswersFile, write_prompts


class Canned:
    """Answers in the order in which it is asked."""

    name = "canned"

    def __init__(self, *answers):
        self.given, self.asked = list(answers), []

    def answers(self, prompts):
        self.asked += prompts
        return self.given


def test_the_request_names_the_class_and_how_many():
    prompt = prompt_of("stop sign", 12)
    assert "12 short descriptions" in prompt
    assert '"stop sign"' in prompt
    assert "{" not in prompt
    assert "40" in prompt_of("cat")


def test_a_template_of_ones_own():
    assert prompt_of("a{each}", 3, "Name {each} of {class}") == "Name 3 of a{each}"
    with pytest.raises(ValueError, match=r"needs a \{class\}"):
        prompt_of("cat", template="Describe it")
    with pytest.raises(ValueError, match="at least one"):
        prompt_of("cat", 0)


def test_unfit_texts_are_rejected_with_a_reason():
    captioner = Canned(
        f"1. Image with whiskers\n2. Two CATS\n3.\n4. ...\n5. image with whiskers.\n6. {'x' * 301}",
        "- Image with a leash\n- Image With Whiskers\n- a cat",
        "I can't help with that.",
    )
    found = descriptions(captioner, ["cat", "dog", "frog"], 6, seed=5)
    assert found.kept == (
        Description("cat", "Image with whiskers"),
        Description("dog", "Image with a leash"),
        Description("dog", "a cat"),
    )
    assert found.rejected == (
        Rejected("cat", "Two CATS", "names the class"),
        Rejected("cat", "", "empty"),
        Rejected("cat", "...", "empty"),
        Rejected("cat", "image with whiskers.", "duplicate of a text for cat"),
        Rejected("cat", "x" * 301, "longer than 300 characters"),
        Rejected("dog", "Image With Whiskers", "duplicate of a text for cat"),
        Rejected("frog", "I can't help with that.", "no list in the answer"),
    )
    assert [(p.user, p.subject, p.seed) for p in captioner.asked] == [
        (prompt_of(name, 6), name, 5) for name in ("cat", "dog", "frog")
    ]


def test_the_texts_make_a_pool_of_which_nothing_is_dropped():
    found = descriptions(Canned(f"1. {'y' * 300}\n2. fur"), ["cat"])
    pool = texts.pool_of("class-descriptions", found.texts)
    assert pool.texts == found.texts
    assert not any(pool.dropped.values())
    assert class_descriptions.LONGEST == texts.LONGEST


def test_descriptions_made_elsewhere_come_back_from_a_file(tmp_path):
    path = tmp_path / "prompts.jsonl"
    write_prompts(path, prompts_of(["cat", "dog"], 2))
    lines = path.read_text().splitlines()
    answered = [
        line[:-1] + f', "answer": "1) trait {at}\\n2) fur"}}' for at, line in enumerate(lines)
    ]
    path.write_text("\n".join(answered))
    assert descriptions(AnswersFile(path), ["cat", "dog"], 2).texts == ("trait 0", "fur", "trait 1")


def described_by(folder, **answers):
    """The evaluation's pool, given what was answered about each class."""
    lines = [json.dumps({"class": name, "answer": answer}) for name, answer in answers.items()]
    (folder / "answers.jsonl").write_text("\n".join(lines))
    asked = {"images": "demo", "pools": (f"class-descriptions:{folder / 'answers.jsonl'}",)}
    recipe = Recipe(name="x", model="demo", images="demo", evaluation=asked)
    return evaluation_pools_of(recipe, [*answers])[0]


def test_descriptions_that_are_left_out_are_counted_in_the_pool(tmp_path):
    pool = described_by(
        tmp_path, cat="1. fur\n2. a cat\n3. Fur.", dog="1. fur\n2. leash", frog="I cannot help"
    )
    assert pool.texts == ("fur", "leash")
    assert pool.left_out == "2 duplicate, 1 names the class, 1 no list in the answer"


def test_answers_without_any_description_say_why(tmp_path):
    with pytest.raises(ValueError, match=r"no description .* can be used \(1 names the class\)"):
        described_by(tmp_path, cat="1. a cat")


@pytest.mark.parametrize(
    ("classes", "message"),
    [("cat", "list of class names"), ([], "list of class names"), (["a", "b", "a"], "more than once: a"),
     (["a", " "], "an empty name")],
)  # fmt: skip
def test_classes_that_cannot_be_asked_for(classes, message):
    with pytest.raises(ValueError, match=message):
        descriptions(Canned(), classes)


def test_a_captioner_that_loses_an_answer_is_found_out():
    with pytest.raises(ValueError, match="canned gave 1 answers to 2 prompts"):
        descriptions(Canned("1. a"), ["cat", "dog"])


def test_one_parser_for_all_lists():
    assert parsed("1. a\n2. b") == ["a", "b"]
    assert Described((), ()).texts == ()
