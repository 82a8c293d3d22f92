import copy
import json
import pickle
from types import SimpleNamespace

import open_clip
import pytest
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CustomTextCLIP
from open_clip.zero_shot_classifier import build_zero_shot_classifier
from torch.nn import functional

import clipneuron
from clipneuron.models.clip.model import IMAGENET_CLASSES, IMAGENET_TEMPLATES, load_clip
from tests.samples.towers import random_pixels, tiny_clip, tiny_config, tiny_tower


@pytest.fixture(scope="module")
def network():
    return tiny_clip()


@pytest.fixture(scope="module")
def clip(network):
    return load_clip(network)


@pytest.fixture
def pixels(network):
    return random_pixels(network.visual)


def test_shapes_of_the_model(clip):
    assert (clip.layers, clip.neurons, clip.embed) == (4, 128, 24)
    assert (clip.image_size, clip.name) == ((32, 32), "CLIP")
    assert (clip.device, clip.dtype) == (torch.device("cpu"), torch.float32)
    assert clip.logit_scale == pytest.approx(1 / 0.07)
    assert "128 neurons" in repr(clip)


def test_the_package_offers_it(network):
    assert isinstance(clipneuron.load_clip(network), clipneuron.Clip)


def test_a_trace_keeps_all_layers_that_have_an_effect(clip, pixels):
    trace = clip.trace(pixels)
    assert sorted(trace.activations) == [0, 1, 2]
    assert sorted(clip.trace(pixels, [1], first_order=True).normalized) == [0, 1, 2, 3]
    torch.testing.assert_close(trace.embeddings, clip.encode_images(pixels))


def test_images_are_encoded_as_open_clip_does(clip, network, pixels):
    with torch.no_grad():
        assert torch.equal(clip.encode_images(pixels), network.encode_image(pixels))
    assert clip.encode_images(pixels[:0]).shape == (0, 24)


def test_pixels_are_brought_to_the_models_type(clip, pixels):
    assert torch.equal(clip.encode_images(pixels.double()), clip.encode_images(pixels))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "preprocess.normalize"),
        (torch.zeros(3, 32, 32), r"\[image, 3, 32, 32\], got \[3, 32, 32\]"),
        (torch.zeros(2, 1, 32, 32), r"got \[2, 1, 32, 32\]"),
        (torch.zeros(2, 3, 32, 40), r"got \[2, 3, 32, 40\]"),
        (torch.zeros(2, 32, 32, 3), r"got \[2, 32, 32, 3\]"),
    ],
)
def test_wrong_pixels_are_refused(clip, wrong, words):
    with pytest.raises(ValueError, match=words):
        clip.trace(wrong)
    with pytest.raises(ValueError, match=words):
        clip.encode_images(wrong)


def test_wrong_layers_are_refused(clip, pixels):
    with pytest.raises(ValueError, match="layers 0 to 3"):
        clip.trace(pixels, [4])


def test_texts_are_encoded_as_open_clip_does_in_any_batches(clip, network):
    texts = ["a cat", "a photo of a dog.", "x", "many words " * 30, "é 中文 🐈"]
    tokens = open_clip.SimpleTokenizer(context_length=16)(texts)
    with torch.no_grad():
        expected = network.encode_text(tokens)
    for batch_size in (1, 2, 256):
        torch.testing.assert_close(clip.encode_texts(texts, batch_size), expected)
    assert not clip.encode_texts(texts).requires_grad


def test_no_texts_are_no_rows(clip):
    rows = clip.encode_texts([])
    assert (rows.shape, rows.dtype) == ((0, 24), torch.float32)
    assert clip.classifier([]).shape == (0, 24)


def test_one_string_is_not_a_list(clip):
    with pytest.raises(ValueError, match="wrap it in a list"):
        clip.encode_texts("cat")
    with pytest.raises(ValueError, match="got one string"):
        clip.classifier("cat")
    with pytest.raises(ValueError, match="got one string"):
        clip.classifier(["cat"], "a {}")


def test_the_classifier_is_open_clips(clip, network):
    names = ["cat", "dog", "hot-air balloon"]
    tokenizer = open_clip.SimpleTokenizer(context_length=16)
    templates = open_clip.OPENAI_IMAGENET_TEMPLATES
    expected = build_zero_shot_classifier(network, tokenizer, names, templates)
    torch.testing.assert_close(clip.classifier(names), expected.T)


def test_classifier_rows_are_means_of_unit_rows(clip):
    templates = ["a {}", "the {} {}"]
    rows = clip.classifier(["cat", "{}"], templates)
    texts = functional.normalize(clip.encode_texts(["a cat", "the cat cat"]), dim=-1)
    torch.testing.assert_close(rows[0], functional.normalize(texts.mean(dim=0), dim=0))
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(2))


@pytest.mark.parametrize("templates", [[], ["no place for a name"], ["a {}", "b"]])
def test_wrong_templates_are_refused(clip, templates):
    with pytest.raises(ValueError, match="template"):
        clip.classifier(["cat"], templates)


def test_imagenet_words_are_openais():
    assert (len(IMAGENET_CLASSES), len(IMAGENET_TEMPLATES)) == (1000, 80)
    assert IMAGENET_TEMPLATES[0] == "a bad photo of a {}."
    assert IMAGENET_CLASSES[0] == "tench"


def test_a_vocabulary_too_small_for_the_tokenizer_is_refused_with_the_first_text():
    clip = load_clip(tiny_clip(vocab_size=600))
    with pytest.raises(ValueError, match="only 600"):
        clip.encode_texts(["cat"])


def test_a_tokenizer_of_another_context_is_refused():
    clip = load_clip(tiny_clip(), tokenizer=open_clip.SimpleTokenizer(context_length=20))
    with pytest.raises(ValueError, match="context_length=16"):
        clip.encode_texts(["cat"])


def test_ones_own_tokenizer(network):
    def tokenizer(texts):
        return torch.tensor([[len(text)] * 16 for text in texts])

    clip = load_clip(network, tokenizer=tokenizer)
    with torch.no_grad():
        expected = network.encode_text(torch.full((1, 16), 3))
    torch.testing.assert_close(clip.encode_texts(["cat"]), expected)


def test_a_clip_with_its_text_tower_apart():
    clip = load_clip(CustomTextCLIP(**tiny_config()))
    assert clip.encode_texts(["cat"]).shape == (1, 24)
    assert clip.architecture["text"]["activation"] == "QuickGELU()"
    assert clip.name == "CustomTextCLIP"


@pytest.mark.parametrize("wrap", [lambda tower: SimpleNamespace(visual=tower), lambda tower: tower])
def test_an_image_tower_alone_reads_images_only(wrap):
    tower = tiny_tower().train()
    clip = load_clip(wrap(tower))
    assert not tower.training
    assert clip.dtype == torch.float64
    assert clip.trace(random_pixels(tower)).embeddings.shape == (5, 24)
    assert clip.architecture["text"] == {}
    assert len(clip.digest) == 64
    with pytest.raises(ValueError, match="only reads images"):
        clip.encode_texts(["cat"])
    with pytest.raises(ValueError, match="without a text tower"):
        _ = clip.logit_scale


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match="type NoneType"):
        load_clip(None)
    with pytest.raises(ValueError, match="pooled by attention"):
        load_clip(tiny_clip(attentional_pool=True))


def test_a_model_in_memory_brings_everything(network):
    with pytest.raises(ValueError, match="pass it alone"):
        load_clip(network, "openai")
    with pytest.raises(ValueError, match="pass it alone"):
        load_clip(network, force_quick_gelu=True)


def test_device_and_type_can_be_chosen():
    clip = load_clip(tiny_clip(), device="cpu", dtype=torch.float64)
    assert clip.dtype == clip.weights.blocks[0].value.dtype == torch.float64
    assert clip.encode_texts(["cat"]).dtype == torch.float64


def test_half_precision_runs_end_to_end():
    clip = load_clip(tiny_clip(), dtype=torch.bfloat16)
    assert clip.trace(random_pixels(clip.visual)).embeddings.dtype == torch.bfloat16
    assert clip.encode_texts(["cat"]).dtype == torch.bfloat16
    assert clip.classifier(["cat"], ["a {}"]).dtype == torch.float32


def test_preprocess_is_the_models(network, clip):
    data = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    assert clip.preprocess.size == (32, 32)
    assert clip.preprocess.normalize(data).shape == (3, 32, 32)


def test_the_digest_knows_every_bit_and_the_activation(clip):
    assert clip.digest == load_clip(tiny_clip()).digest
    assert clip.digest == load_clip(copy.deepcopy(clip.network)).digest
    others = [
        tiny_clip(seed=1),
        tiny_clip(quick_gelu=False),
        tiny_clip(heads=2),
        tiny_clip().double(),
    ]
    nudged = tiny_clip()
    with torch.no_grad():
        nudged.text_projection[0, 0] += 1e-6
    digests = {load_clip(network).digest for network in (*others, nudged)}
    assert len(digests | {clip.digest}) == 6


def test_the_architecture_is_plain_json(clip):
    assert json.loads(json.dumps(clip.architecture)) == clip.architecture
    assert clip.architecture["image"]["heads"] == 4
    assert clip.architecture["text"]["vocabulary"] == 49408


def test_a_clip_is_picklable(clip, pixels):
    clip.encode_texts(["cat"])
    again = pickle.loads(pickle.dumps(clip))
    assert again.digest == clip.digest
    assert torch.equal(again.encode_images(pixels), clip.encode_images(pixels))
    assert torch.equal(again.encode_texts(["cat"]), clip.encode_texts(["cat"]))


def test_exact_gelu_in_the_text_tower_leaves_the_image_tower_and_the_original_alone():
    trained = load_clip("demo", device="cpu")
    words, pixels = ["a cat", "the sea"], torch.rand(2, 3, *trained.image_size)
    before = trained.encode_texts(words)
    other = trained.with_gelu_texts()
    assert torch.equal(trained.encode_texts(words), before)
    assert not torch.allclose(other.encode_texts(words), before, atol=1e-3)
    assert torch.equal(other.visual(pixels), trained.visual(pixels))
    assert other.digest != trained.digest
    assert torch.equal(other.with_gelu_texts().encode_texts(words), other.encode_texts(words))


def test_a_model_without_open_clips_text_tower_has_no_activation_to_change():
    class Alone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = load_clip("demo", device="cpu").visual

    for alone in (Alone(), Alone().visual):
        with pytest.raises(ValueError, match="no text tower of open_clip's kind"):
            load_clip(alone).with_gelu_texts()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: torch.compile(network, backend="eager"),
        torch.nn.DataParallel,
        lambda network: torch.compile(torch.nn.DataParallel(network), backend="eager"),
    ],
    ids=["compile", "parallel", "both"],
)
def test_what_is_wrapped_around_a_model_is_looked_through(network, pixels, wrap):
    bare = load_clip(network)
    clip = load_clip(wrap(network))
    assert (clip.name, clip.digest) == ("CLIP", bare.digest)
    assert torch.equal(clip.encode_images(pixels), bare.encode_images(pixels))
    assert torch.equal(clip.trace(pixels).embeddings, bare.trace(pixels).embeddings)
    assert clip.encode_texts(["cat"]).shape == (1, 24)


def test_a_wrapped_image_tower_is_looked_through_too(network, pixels):
    other = copy.deepcopy(network)
    other.visual = torch.compile(other.visual, backend="eager")
    clip = load_clip(other)
    assert torch.equal(clip.trace(pixels).embeddings, load_clip(network).trace(pixels).embeddings)


def test_a_captioner_with_a_class_token_is_refused_with_what_to_do():
    vision = {"layers": 1, "width": 16, "head_width": 8, "patch_size": 16, "image_size": 32}
    text = {"context_length": 8, "vocab_size": 30, "width": 16, "heads": 2, "layers": 1}
    network = CoCa(
        16, multimodal_cfg=text, text_cfg=text, vision_cfg={**vision, "output_tokens": True}
    )
    with pytest.raises(
        ValueError, match=r"CoCa.*its image tower alone.*load_clip\(model\.visual\)"
    ):
        load_clip(network)
    clip = load_clip(network.visual)
    assert clip.encode_images(torch.zeros(2, 3, 32, 32)).shape == (2, 16)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_a_widened_model_computes_in_float32_with_the_same_weights(half):
    clip = load_clip(tiny_clip(), dtype=half)
    wide = clip.widened()
    assert (wide.dtype, clip.dtype) == (torch.float32, half)
    assert torch.equal(wide.visual.proj, clip.visual.proj.float())
    assert wide.widened() is wide
