"""A real sentence-transformers model, tiny, is loaded as the large one is; the text tower stands in for it."""

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from clipneuron.models.language.sentences import ClipSentences, Sentences, SentenceTransformers
from tests.samples.world import clip

LETTERS = "abcdefghijklmnopqrstuvwxyz "
SPECIALS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def save_tiny_roberta(folder: Path, seed: int = 0) -> Path:
    """A model of all-distilroberta-v1's parts (RoBERTa, mean of the tokens, unit length) that reads letters."""
    vocabulary = {token: number for number, token in enumerate([*SPECIALS.values(), *LETTERS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=inner, model_max_length=60, **SPECIALS
    ).save_pretrained(folder / "base")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = RobertaConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
        RobertaModel(config, add_pooling_layer=False).save_pretrained(folder / "base")
    parts = [Transformer(str(folder / "base")), Pooling(16, "mean"), Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder / "saved"))
    return folder / "saved"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_roberta(tmp_path_factory.mktemp("sentences"))


TEXTS = ["a cat", "a long text about a red car", "cat", "sea"]


def test_cosines_are_the_models_own(folder):
    sentences = SentenceTransformers(folder, device="cpu")
    assert isinstance(sentences, Sentences)
    found = sentences.similarities(TEXTS, ["cat", "kitten"])
    reference = SentenceTransformer(str(folder), device="cpu")
    unit = normalize(torch.tensor(reference.encode([*TEXTS, "kitten"])), dim=1)
    torch.testing.assert_close(found, unit[:4] @ unit[[2, 4]].T)
    assert found[2, 0] == pytest.approx(1.0, abs=1e-6)
    assert found[0, 0] < 0.999
    assert sentences.similarities([], ["cat"]).shape == (0, 1)


def test_what_was_asked_before_changes_no_bit(folder):
    make = partial(SentenceTransformers, folder, device="cpu")
    warm, backwards = make(), make()
    warm.similarities([f"{letter} and many other letters" for letter in "abcdefgh"], TEXTS[:1])
    alone = torch.cat([make().similarities([text], ["kitten"]) for text in TEXTS])
    assert warm.similarities(TEXTS, ["kitten"]).equal(alone)
    assert backwards.similarities(TEXTS[::-1], ["kitten"]).flip(0).equal(alone)


def test_the_name_is_that_of_the_files(folder, tmp_path):
    copy = tmp_path / "elsewhere" / folder.name
    shutil.copytree(folder, copy)
    assert SentenceTransformers(copy).name == SentenceTransformers(folder).name
    other = save_tiny_roberta(tmp_path / "other", seed=1)
    assert SentenceTransformers(other).name != SentenceTransformers(folder).name
    assert SentenceTransformers(revision="abc").name.endswith("all-distilroberta-v1@abc")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ConnectionError, match="can't load the sentence model"):
        SentenceTransformers(tmp_path, device="cpu").similarities(["cat"], ["dog"])


def test_the_text_towers_cosines():
    sentences = ClipSentences(clip())
    assert isinstance(sentences, Sentences)
    unit = normalize(clip().encode_texts(TEXTS), dim=1)
    found = sentences.similarities(TEXTS, TEXTS[:2])
    torch.testing.assert_close(found, unit @ unit[:2].T)
    assert sentences.similarities([], TEXTS).shape == (0, 4)
    assert sentences.name == f"clip-{clip().digest}"
