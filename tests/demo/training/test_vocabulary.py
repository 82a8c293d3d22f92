"""The vocabulary is learnt as byte-pair merges are, and open_clip reads it."""

import gzip

import pytest
from open_clip.tokenizer import SimpleTokenizer

from clipneuron.demo import WEIGHTS
from clipneuron.demo.training.vocabulary import (
    BASE,
    learn_merges,
    word_weights,
    world_words,
    write_merges,
)


def test_the_heaviest_pair_is_merged_first():
    merges = learn_merges({"aab": 3.0, "ab": 1.0, "cd": 2.0}, 3)
    assert merges == [("a", "b</w>"), ("a", "ab</w>"), ("c", "d</w>")]


def test_learning_ends_when_every_word_is_one_symbol():
    assert learn_merges({"ab": 1.0}, 100) == [("a", "b</w>")]


def test_merges_can_be_read_back_and_writing_twice_gives_equal_bytes(tmp_path):
    merges = learn_merges({"horse": 1.0, "house": 2.0}, 10)
    for name in ("one", "two"):
        write_merges(tmp_path / name, merges)
    lines = gzip.decompress((tmp_path / "one").read_bytes()).decode().split("\n")[1:]
    assert [tuple(line.split()) for line in lines] == merges
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert SimpleTokenizer(str(tmp_path / "one")).vocab_size == BASE + len(merges)


def test_the_world_weighs_most():
    weights = word_weights(common=500)
    assert max(weights, key=lambda word: weights[word]) in world_words()
    assert {"the", "horse", "cacti"} <= set(weights)


@pytest.fixture(scope="module")
def tokenizer():
    return SimpleTokenizer(str(WEIGHTS / "bpe_vocab.txt.gz"), context_length=24)


def test_every_word_of_the_world_is_one_token(tokenizer):
    assert [word for word in world_words() if len(tokenizer.encode(word)) != 1] == []


@pytest.mark.parametrize("text", ["extraordinary hippopotamus", "naïve café!", "猫"])
def test_any_text_can_be_encoded(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)).replace(" ", "") == text.replace(" ", "")
