"""A real LLaMA, tiny, is loaded, prompted and sampled as the large one is."""

import json
import pickle
import shutil
from collections import Counter

import pytest
import torch

from clipneuron.evidence.class_descriptions import parsed
from clipneuron.models.language.captioner import Captioner, Prompt, Sampling
from clipneuron.models.language.transformers import TransformersCaptioner, drawn
from tests.samples.language_models import LESSONS, save_tiny_llama

pytestmark = pytest.mark.slow

GREEDY = Sampling(temperature=0.0, max_new_tokens=40)
WILD = Sampling(temperature=2.0, top_p=1.0, max_new_tokens=80)
LONG, SHORT = "Say what can be seen in nearly all pictures of dogs, please.", "Tell me of cats."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny-llama"
    save_tiny_llama(path)
    return path


def captioner(folder, sampling=GREEDY, **options):
    return TransformersCaptioner(folder, sampling=sampling, device="cpu", **options)


def test_what_was_taught_is_answered_and_ends_where_the_turn_ends(folder):
    model = captioner(folder)
    assert isinstance(model, Captioner)
    prompts = [Prompt(asked) for asked in LESSONS]
    assert model.answers(prompts) == list(LESSONS.values())
    assert parsed(model.answers(prompts[:1])[0]) == ["fur", "whiskers", "a tail"]
    assert model.answers([]) == []


def test_an_answer_does_not_depend_on_its_batch(folder):
    prompts = [Prompt(asked, seed=seed) for seed in range(4) for asked in (SHORT, LONG)]

    def answers(
        asked, size
    ):  # in float32 a product's rounding, which differs by batch and processor, may tip a draw
        return captioner(folder, WILD, batch_size=size, dtype=torch.float64).answers(asked)

    alone = answers(prompts, 1)
    assert len(set(alone)) == len(alone)
    assert answers(prompts, 8) == alone
    assert answers(prompts[::-1], 3) == alone[::-1]


def test_seeds_make_answers_differ_and_repeat(folder):
    prompts = [Prompt(SHORT, seed=seed) for seed in (0, 1, 2, 0)]
    first, *others, again = captioner(folder, WILD).answers(prompts)
    assert first == again
    assert len({first, *others}) == 3


def test_the_system_text_is_read(folder):
    prompts = [
        Prompt(SHORT, system)
        for system in ("", "You are a pirate. You know nothing of cats at all.")
    ]
    plain, told = captioner(folder, WILD).answers(prompts)  # with the same seed
    assert plain != told


def test_an_answer_that_was_cut_off_keeps_its_whole_lines(folder):
    full = LESSONS[SHORT]
    for length in range(1, 20):
        [answer] = captioner(folder, Sampling(temperature=0.0, max_new_tokens=length)).answers(
            [Prompt(SHORT)]
        )
        assert answer == full or answer in ("", "1. fur", "1. fur\n2. whiskers")


def test_sampling_settings_of_the_files_do_not_interfere(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    settings = json.loads((other / "generation_config.json").read_text())
    settings |= {"do_sample": True, "temperature": 50.0, "top_k": 3, "eos_token_id": [1, 4]}
    (other / "generation_config.json").write_text(json.dumps(settings))
    assert captioner(other).answers([Prompt(SHORT)]) == [LESSONS[SHORT]]


def test_the_batch_is_halved_until_it_fits(folder):
    model = captioner(folder, batch_size=8)
    network, sizes = model._network, []
    generate = network.generate

    def cramped(input_ids, **options):
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(input_ids=input_ids, **options)

    network.generate = cramped
    assert model.answers([Prompt(SHORT)] * 7) == [LESSONS[SHORT]] * 7
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]


def test_other_errors_come_through(folder):
    model = captioner(folder)
    model._network.generate = lambda **_: (_ for _ in ()).throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        model.answers([Prompt(SHORT)] * 2)


def test_the_name_follows_the_files_and_settings_not_the_place(folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "deep" / "tiny-llama")
    name = captioner(folder).name
    assert captioner(moved).name == name
    assert captioner(folder, WILD).name != name
    assert captioner(folder, dtype=torch.bfloat16).name != name
    (moved / "chat_template.jinja").write_text("changed")
    assert captioner(moved).name != name
    assert (
        TransformersCaptioner("a/b", revision="c0ffee", device="cpu").name
        == "a/b@c0ffee-float32-t0.6-p0.9-n2048"
    )


def test_it_travels_before_it_is_loaded(folder):
    model = pickle.loads(pickle.dumps(captioner(folder)))
    assert model.answers([Prompt(SHORT)]) == [LESSONS[SHORT]]


def test_what_cannot_be_used_is_refused(folder, tmp_path):
    with pytest.raises(ConnectionError, match="can't load the language model"):
        captioner(tmp_path / "nothing").answers([Prompt("a")])
    mute = shutil.copytree(folder, tmp_path / "mute", ignore=shutil.ignore_patterns("*.jinja"))
    with pytest.raises(ConnectionError, match="no chat template"):
        captioner(mute).answers([Prompt("a")])
    with pytest.raises(ValueError, match="exceed the 512 that"):
        captioner(folder, Sampling(max_new_tokens=510)).answers([Prompt("a")])
    with pytest.raises(ValueError, match="at least one item"):
        captioner(folder, batch_size=0)
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"max_new_tokens": 0}):
        with pytest.raises(ValueError, match="expected a temperature"):
            Sampling(**wrong)


def test_draws_follow_the_probabilities_of_the_nucleus():
    scores = torch.tensor([0.5, 0.2, 0.2, 0.1]).log().repeat(1000, 1)
    chances = (torch.arange(1000) + 0.5) / 1000
    full = Counter(drawn(scores, chances, Sampling(temperature=1.0, top_p=1.0)).tolist())
    assert [round(full[token], -1) for token in range(4)] == [500, 200, 200, 100]
    cut = Counter(drawn(scores, chances, Sampling(temperature=1.0, top_p=0.6)).tolist())
    assert set(cut) in ({0, 1}, {0, 2})
    assert abs(cut[0] - 1000 * 0.5 / 0.7) < 5
    cold = Counter(drawn(scores, chances, Sampling(temperature=0.5, top_p=1.0)).tolist())
    assert abs(cold[0] - 1000 * 0.25 / 0.34) < 5
    ends = torch.tensor([0.0, 1 - 2**-24])
    assert drawn(scores[:2], ends, Sampling(temperature=1.0, top_p=1.0)).tolist() == [0, 3]
    assert drawn(scores[:2], ends, Sampling(temperature=0.0)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        ("1. fur</s>", "1. fur"),
        ("[THINK]1. a draft[/THINK]1. fur</s>", "1. fur"),
        ("[THINK]1. a draft", ""),
    ],
)
def test_thoughts_between_special_tokens_are_not_read(folder, whole, said):
    class Tokenizer:
        """One whose tags of thought are special tokens, as Magistral's, and so not in its plain text."""

        all_special_tokens = ("[THINK]", "[/THINK]", "</s>")

        def decode(self, tokens, skip_special_tokens):
            text = whole
            for special in self.all_special_tokens if skip_special_tokens else ():
                text = text.replace(special, "")
            return text

    model = captioner(folder)
    vars(model)["_tokenizer"] = Tokenizer()
    assert model._without_thoughts([1]) == said
