"""What a text tower does not read: ends of long texts, and what sets alike texts apart."""

import pytest
import torch
from open_clip.model import CustomTextCLIP

from clipneuron.data.text_pools import pool_of
from clipneuron.models.clip.model import load_clip
from clipneuron.models.clip.tokens import Reading
from clipneuron.sweep.inputs import about_classes, readable, unread
from tests.samples.towers import tiny_clip, tiny_config
from tests.samples.world import clip

LONG = "a photo of a " + "very " * 20


def test_texts_that_are_cut_off_are_found_with_their_tokens():
    context, cut, twins = clip().reading(["dog", LONG + "old dog", LONG + "old cat", "cat " * 14])
    assert context == 16
    assert cut == {LONG + "old dog": 28, LONG + "old cat": 28}
    assert twins == {LONG + "old cat": LONG + "old dog"}


def test_twins_have_one_embedding_and_others_do_not():
    texts = ["dog", "Dog", " dog  ", "dog!", "dög", "US", "us", "d.o.g", "don't", "don’t", "!", "?"]
    _, cut, twins = clip().reading(texts)
    assert not cut
    assert twins == {"Dog": "dog", " dog  ": "dog", "us": "US", "don’t": "don't"}
    rows = dict(zip(texts, clip().encode_texts(texts), strict=True))
    for text in texts:
        same = [other for other in texts if torch.equal(rows[text], rows[other])]
        assert same[0] == twins.get(text, text)


def test_most_texts_are_not_tokenised():
    asked = []

    def tokenizer(texts):
        asked.extend(texts)
        return torch.zeros(len(texts), 16, dtype=torch.long)

    other = load_clip(tiny_clip(layers=3, width=16, embed=12), tokenizer=tokenizer)
    assert other.reading([f"word {letter}" for letter in "abcdefgh"]) == Reading(16, {}, {})
    assert asked == []


def test_a_tokenizer_that_does_not_tell_its_counts_still_tells_that_a_text_is_full():
    def tokenizer(texts):
        rows = [[7] * min(len(text), 16) + [0] * (16 - len(text)) for text in texts]
        return torch.tensor(rows)

    other = load_clip(tiny_clip(layers=3, width=16, embed=12), tokenizer=tokenizer)
    assert other.reading(["x" * 20, "y" * 15]).cut == {"x" * 20: 17}


def test_a_text_tower_of_hugging_faces_reads_any_number_of_tokens_up_to_its_own(tmp_path):
    """open_clip's multilingual models read 77 of their 514."""
    transformers = pytest.importorskip("transformers")
    size = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.XLMRobertaConfig(
        vocab_size=300, hidden_size=16, max_position_embeddings=514, type_vocab_size=1, **size
    ).save_pretrained(tmp_path)
    texts = {"hf_model_name": str(tmp_path), "hf_model_pretrained": False, "hf_proj_type": "mlp"}
    network = CustomTextCLIP(12, tiny_config()["vision_cfg"], texts)

    def tokenizer(texts):
        rows = [[0, *map(ord, text[:75]), 2] for text in texts]
        return torch.tensor([row + [1] * (77 - len(row)) for row in rows])

    clip = load_clip(network, tokenizer=tokenizer)
    assert clip.encode_texts(["dog", "cat"]).shape == (2, 12)
    assert clip.reading(["dog", "cat"]).context == 77
    assert clip.reading(["x" * 80, "y" * 70]).cut == {"x" * 80: 78}
    long = load_clip(network, tokenizer=lambda texts: torch.ones(len(texts), 600, dtype=torch.long))
    with pytest.raises(ValueError, match="makes 600 tokens of a text and the text tower reads 514"):
        long.encode_texts(["dog"])


def test_a_model_without_a_text_tower_reads_everything():
    bare = load_clip(tiny_clip(layers=3, width=16, embed=12).visual)
    assert bare.reading([LONG, "Dog", "dog"]) == Reading(0, {}, {})


def test_a_pool_leaves_twins_out_and_counts_what_is_cut():
    pool = pool_of("p", ["dog", "Dog", "cat", "", LONG + "a"])
    kept = readable(pool, clip())
    assert kept.texts == ("dog", "cat", LONG + "a")
    assert kept.left_out == f"1 empty, 1 the same to {clip().name}"
    assert kept.digest == pool_of("q", kept.texts).digest
    assert kept.cut == {LONG + "a": 27}
    assert unread(kept).startswith(
        "texts of p that are read in part: 1, such as 'a photo of a very"
    )
    assert readable(pool_of("p", ["dog", "cat"]), clip()) == pool_of("p", ["dog", "cat"])
    with pytest.raises(ValueError, match="has only 1 text"):
        readable(pool_of("p", ["dog", "Dog"]), clip())


def test_classes_that_cannot_be_told_apart_or_are_cut_are_said():
    templates = ["{}", "a photo of a {}."]
    assert about_classes(["dog", "cat"], templates, clip()) == []
    same, twins, cut = about_classes(["dog", "Dog", "cat", "cat", LONG], templates, clip())
    assert same == "classes with the name of another: 1"
    assert twins.startswith("classes that are the same as another to ")
    assert twins.endswith(": 1, such as Dog and dog")
    assert cut.startswith("classes that are read in part in the longest template: 1, such as '")
