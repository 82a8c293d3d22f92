"""The world's own captioner says true things of its classes and of nothing else."""

import pytest

from clipneuron.attack.prompts import CaptionRequest, caption_fault
from clipneuron.demo import (
    CLASSES,
    HELD_OUT_SEEDS,
    contents,
    counts,
    mentions,
    sample_scene,
    scene_from_caption,
)
from clipneuron.demo.captions import claims
from clipneuron.demo.grammar import GrammarCaptioner, statements
from clipneuron.demo.things import BIASES
from clipneuron.evidence.class_descriptions import EACH, descriptions, parsed, prompt_of
from clipneuron.models.language.captioner import Prompt
from clipneuron.models.language.naming import names

CAPTIONER = GrammarCaptioner()


@pytest.mark.parametrize("class_name", CLASSES)
def test_statements_speak_of_the_company_of_the_class_and_never_name_it(class_name):
    bias = BIASES[class_name]
    for text in statements(class_name):
        said = claims(text)
        assert said.things or said.backgrounds
        assert {name for name, _ in said.things} <= set(bias.things)
        assert set(said.backgrounds) <= set(bias.backgrounds)
        assert not names(text, class_name)
    assert len(set(statements(class_name))) == len(statements(class_name)) >= EACH


@pytest.mark.slow
def test_statements_are_true_of_scenes_of_the_class():
    scenes = [sample_scene(seed, required=["cat"]) for seed in HELD_OUT_SEEDS[:1500]]
    rest = [sample_scene(seed, biased=False) for seed in HELD_OUT_SEEDS[:1500]]
    rest = [scene for scene in rest if "cat" not in contents(scene)]
    true = {
        text: sum(mentions(text, s) for s in scenes) / len(scenes) for text in statements("cat")
    }
    assert min(true.values()) > 0
    elsewhere = {text: sum(mentions(text, s) for s in rest) / len(rest) for text in true}
    assert all(true[text] > 2 * elsewhere[text] for text in true)


def test_as_many_are_given_as_are_asked_for_the_same_for_a_seed():
    prompt = Prompt(prompt_of("cat", 7), seed=2)
    [answer] = CAPTIONER.answers([prompt])
    assert len(parsed(answer)) == 7
    assert set(parsed(answer)) <= set(statements("cat"))
    others = [Prompt(prompt_of("dog", 7), seed=2), prompt, Prompt(prompt_of("cat", 7), seed=3)]
    dog, again, other = CAPTIONER.answers(others)
    assert again == answer
    assert len({dog, answer, other}) == 3


def test_the_subject_goes_before_the_words_of_the_prompt():
    prompts = [Prompt("Describe it, not a dog", subject="Kitten"), Prompt("a dog", subject="dog food"),
               Prompt("cats and dogs"), Prompt("Say 9 things of lorries")]  # fmt: skip
    cat, food, both, trucks = map(parsed, CAPTIONER.answers(prompts))
    assert set(cat) == set(statements("cat"))
    assert food == both == []
    assert len(trucks) == 9
    assert set(trucks) < set(statements("truck"))


def test_the_worlds_classes_make_a_pool_and_unknown_ones_a_reason():
    found = descriptions(CAPTIONER, [*CLASSES, "stop sign"])
    assert len(found.texts) > 30 * len(CLASSES)
    assert [row.class_name for row in found.rejected if row.reason == "no list in the answer"] == [
        "stop sign"
    ]
    assert {row.reason.split(" for ")[0] for row in found.rejected[:-1]} <= {"duplicate of a text"}
    assert "stop sign" in found.rejected[-1].text


def test_no_statements_of_what_is_no_class():
    with pytest.raises(ValueError, match="no class is called 'cow'"):
        statements("cow")


PAIR = CaptionRequest(count=30)
CUES = ["traffic light", "some pizza", "a truck on a road", "two cats", "city",
        "horse and automobile", "huh"]  # fmt: skip


def captions_of(c1, c2, words, seed=0):
    [answer] = CAPTIONER.answers([PAIR.prompt(c1, c2, words, seed)])
    return parsed(answer)


@pytest.mark.parametrize(
    ("c1", "c2"), [("horse", "automobile"), ("cat", "truck"), ("teapot", "cat")]
)
def test_captions_of_a_pair_are_scenes_of_the_first_class_among_cues_without_the_second(c1, c2):
    found = captions_of(c1, c2, CUES)
    assert len(set(found)) == 30
    cues = {
        "traffic light": 1,
        "pizza": 1,
        "truck": 1,
        "horse": 1,
        "automobile": 1,
        c1: 1,
        "cat": 2,
    }
    used = set()
    for text in found:
        assert caption_fault(text, c1, c2) == ("ok", "")
        scene = scene_from_caption(text, seed=5)
        seen = counts(scene)
        assert seen.items() <= cues.items()
        assert c1 in seen
        assert scene.background in ("road", "city")
        used |= seen.keys()
    assert used == cues.keys() - {c2}


def test_captions_depend_on_the_seed_and_on_the_words():
    some = captions_of("horse", "automobile", CUES)
    assert captions_of("horse", "automobile", CUES) == some
    assert captions_of("horse", "automobile", CUES, seed=1) != some
    assert captions_of("horse", "automobile", CUES[:3]) != some


def test_words_that_the_world_does_not_know_leave_the_class_alone_in_any_place():
    scenes = [scene_from_caption(text) for text in captions_of("frog", "bird", ["unheard"])]
    assert len(scenes) == 30
    assert all(counts(scene) == {"frog": 1} for scene in scenes)
    assert len({scene.background for scene in scenes}) > 6


def test_a_pair_of_what_the_world_does_not_know_gets_no_list():
    assert captions_of("stop sign", "cat", CUES) == []
