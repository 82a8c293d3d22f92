"""Against transformers' own CLIPModel: the same embeddings, both ways, and its refusals."""

import json

import numpy as np
import pytest
import torch
from open_clip.transformer import QuickGELU
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
    SiglipConfig,
    SiglipModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from clipneuron.models.clip.model import load_clip
from tests.samples.hugging_face import (
    as_hugging_face,
    image_features,
    saved,
    text_features,
    tiny_hugging_face,
)
from tests.samples.towers import random_pixels, tiny_clip, tiny_config

TEXTS = ["cat", "dog cat", "many words " * 5, ""]


@pytest.fixture(scope="module")
def model():
    return tiny_hugging_face()


@pytest.fixture
def folder(model, tmp_path):
    return saved(model, tmp_path / "clip")


@pytest.fixture
def configuration(model, tmp_path):
    """A folder with the model's config.json alone: what is refused by it is refused without weights."""
    model.config.save_pretrained(tmp_path)
    change(tmp_path, architectures=["CLIPModel"])
    return tmp_path


def change(folder, name="config.json", **fields):
    """Change top-level fields of a JSON file."""
    settings = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(settings | fields))


def same(clip, model):
    """Whether both towers compute what transformers does."""
    pixels = random_pixels(clip.visual)
    ours = clip.encode_images(pixels.to(clip.dtype)).float()
    torch.testing.assert_close(ours, image_features(model, pixels), atol=2e-5, rtol=1e-4)
    tokens = clip._tokenizer(TEXTS)
    theirs = text_features(model, tokens)
    torch.testing.assert_close(clip.encode_texts(TEXTS), theirs, atol=2e-5, rtol=1e-4)
    assert clip.logit_scale == pytest.approx(float(model.logit_scale.exp()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"act": "gelu", "text_act": "quick_gelu"},
        {"act": "quick_gelu", "text_act": "gelu_new"},
        {"eos": 2},
        {"layer_norm_eps": 0.01, "intermediate_size": 57},
    ],
    ids=["plain", "gelu_images", "tanh_texts", "legacy_eos", "odd_sizes"],
)
def test_a_folder_computes_what_transformers_does(options, tmp_path):
    model = tiny_hugging_face(**options)
    clip = load_clip(saved(model, tmp_path / "mine"), device="cpu")
    assert (clip.name, clip.layers) == ("mine", 3)
    same(clip, model)


def test_a_model_in_memory_is_its_folder(model, folder):
    clip = load_clip(model)
    assert clip.name == "CLIPModel"
    assert clip.digest == load_clip(folder, device="cpu").digest
    pixels = random_pixels(clip.visual)
    expected = image_features(model, pixels)
    torch.testing.assert_close(clip.encode_images(pixels), expected, atol=2e-5, rtol=1e-4)
    assert load_clip(tiny_hugging_face().bfloat16()).dtype == torch.bfloat16


def test_the_other_way_an_open_clip_model_computes_the_same_in_transformers():
    network = tiny_clip()
    model = as_hugging_face(network)
    same(load_clip(network), model)
    assert load_clip(model).architecture["image"] == load_clip(network).architecture["image"]
    back = load_clip(model).network.state_dict()
    assert all(torch.equal(back[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("split", ["1GB", "20KB"], ids=["whole", "sharded"])
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "bin"])
def test_any_way_of_storing_the_weights(model, tmp_path, split, pickled):
    folder = saved(model, tmp_path / "clip", max_shard_size=split)
    if pickled:
        for path in list(folder.glob("model*.safetensors")):
            torch.save(load_file(path), folder / _as_pickled(path.name))
            path.unlink()
        for path in folder.glob("*.index.json"):
            index = json.loads(path.read_text())
            files = {name: _as_pickled(file) for name, file in index["weight_map"].items()}
            (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))
            path.unlink()
    assert (len(list(folder.glob("*model*"))) > 2) == (split == "20KB")
    assert load_clip(folder, device="cpu").digest == load_clip(model).digest


def _as_pickled(name):
    return name.replace("model", "pytorch_model").replace(".safetensors", ".bin")


def test_a_shard_that_is_missing_is_named(model, tmp_path):
    folder = saved(model, tmp_path / "clip", max_shard_size="20KB")
    next(folder.glob("model-00002-of-*")).unlink()
    with pytest.raises(ValueError, match=r"lacks 1 of the .*model-00002-of"):
        load_clip(folder)


@pytest.mark.parametrize("beside", [True, False])
def test_a_file_in_a_named_architecture(model, folder, monkeypatch, beside):
    config = tiny_config(layers=3, heads=2, width=32, mlp_ratio=100.5 / 32, vocab_size=518)
    config["text_cfg"] |= {"context_length": 8, "layers": 3, "mlp_ratio": 2.5}
    monkeypatch.setitem(
        __import__("open_clip").factory._MODEL_CONFIGS, "tiny", config | {"quick_gelu": False}
    )
    if not beside:
        (folder / "config.json").unlink()
    clip = load_clip("tiny", folder / "model.safetensors", device="cpu")
    kinds = {type(block.mlp.gelu) for block in clip.visual.transformer.resblocks}
    assert kinds == {QuickGELU if beside else nn.GELU}
    assert torch.equal(clip.visual.proj, model.visual_projection.weight.T)


def test_a_file_alone_says_that_its_folder_is_meant(folder):
    with pytest.raises(ValueError, match=r"give the folder that it lies in"):
        load_clip(folder / "model.safetensors")


def test_the_activation_can_be_forced(folder):
    clip = load_clip(folder, device="cpu", force_quick_gelu=False)
    assert {type(block.mlp.gelu) for block in clip.network.transformer.resblocks} == {nn.GELU}


def test_the_older_way_to_configure_towers(model, folder):
    settings = json.loads((folder / "config.json").read_text())
    for part in ("text_config", "vision_config"):
        change(folder, **{f"{part}_dict": settings[part], part: {"hidden_size": 48}})
    same(load_clip(folder, device="cpu"), model)


def test_an_open_clip_configuration_beside_goes_first(model, folder):
    config = tiny_config(layers=3, heads=2, width=32, mlp_ratio=100.5 / 32, vocab_size=518)
    config["text_cfg"] |= {"context_length": 8, "layers": 3, "mlp_ratio": 2.5}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.1, 0.2, 0.3]}})
    )
    clip = load_clip(folder, device="cpu")
    assert clip.preprocess.mean == (0.1, 0.2, 0.3)
    assert torch.equal(clip.visual.proj, model.visual_projection.weight.T)


def test_the_tokenizer_is_the_folders(folder):
    clip = load_clip(folder, device="cpu")
    theirs = CLIPTokenizer.from_pretrained(folder)
    texts = ["cat dog", "A Cat's dog, 2 dogs!", "é 中", "cat " * 20]
    ours = clip._tokenizer(texts)
    for text, row in zip(texts, ours.tolist(), strict=True):
        expected = theirs(text, truncation=True, max_length=8).input_ids
        assert row[: len(expected)] == expected
    theirs.save_pretrained(folder)  # today's transformers writes tokenizer.json instead
    (folder / "vocab.json").unlink()
    (folder / "merges.txt").unlink()
    assert torch.equal(load_clip(folder, device="cpu")._tokenizer(texts), ours)


def test_a_vocabulary_in_another_order_is_read_by_transformers(folder):
    words = json.loads((folder / "vocab.json").read_text())
    words["cat</w>"], words["dog</w>"] = words["dog</w>"], words["cat</w>"]
    (folder / "vocab.json").write_text(json.dumps(words))
    tokens = load_clip(folder, device="cpu")._tokenizer(["cat dog"])
    assert tokens[0, :4].tolist() == [516, 515, 513, 517]


def test_texts_that_would_all_be_pooled_at_their_first_token_are_refused(folder, model):
    settings = json.loads((folder / "config.json").read_text())
    change(folder, text_config=settings["text_config"] | {"eos_token_id": 400})
    with pytest.raises(ValueError, match=r"ends texts with token 517, and .* says 400"):
        load_clip(folder, device="cpu").encode_texts(["cat"])
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match=r"no tokenizer is in .* token 49407, and .* says 400"):
        load_clip(folder, device="cpu").encode_texts(["cat"])
    with pytest.raises(ValueError, match="OpenAI's tokenizer ends texts with token 49407"):
        load_clip(model).encode_texts(["cat"])


def test_pixels_are_those_of_the_processor(folder):
    size = {"height": 32, "width": 32}
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size=size, image_mean=mean, image_std=std, resample=2
    )
    processor.save_pretrained(folder)
    preprocess = load_clip(folder, device="cpu").preprocess
    picture = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    )
    path = folder / "picture.png"
    picture.save(path)
    ours = preprocess.normalize(preprocess.decode(path.read_bytes()))
    theirs = torch.as_tensor(np.asarray(processor(picture).pixel_values[0]))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({"size": 32, "crop_size": 32}, "shortest"),
        ({"size": {"height": 32, "width": 32}, "do_center_crop": False}, "squash"),
    ],
)
def test_other_ways_to_write_the_size(folder, settings, mode):
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    assert load_clip(folder, device="cpu").preprocess.resize_mode == mode


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": {"shortest_edge": 36}, "crop_size": 32}, "shortest_edge.: 36.*32 pixels"),
        ({"size": {"shortest_edge": 32}, "crop_size": 30}, "crops to 30"),
        ({"size": 32, "crop_size": 32, "resample": 0}, "resample 0"),
        ({"size": 32, "crop_size": 32, "do_normalize": False}, "do_normalize"),
        ({"size": 32, "crop_size": 32, "rescale_factor": 1}, "do_rescale"),
    ],
)
def test_preprocessing_that_cannot_be_followed_is_refused(configuration, settings, words):
    folder = configuration
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=rf"preprocessor_config\.json.*{words}"):
        load_clip(folder)


def tiny_siglip():
    shared = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    shared |= {"hidden_size": 8}
    texts = {**shared, "vocab_size": 20, "max_position_embeddings": 4}
    return SiglipModel(SiglipConfig(text_config=texts, vision_config={**shared, "image_size": 32}))


def test_other_models_in_memory_are_refused_with_the_reason_and_the_nearest(model):
    nearest = "Nearest among those that are: ViT-"
    with pytest.raises(ValueError, match=rf"SiglipModel.*no class token\. {nearest}"):
        load_clip(tiny_siglip())
    vision = CLIPVisionModelWithProjection(model.config.vision_config)
    with pytest.raises(ValueError, match=rf"CLIPVisionModel.*image tower alone.*{nearest}"):
        load_clip(vision)
    with pytest.raises(ValueError, match=r"CLIPTextModel.*text tower alone"):
        load_clip(CLIPTextModel(model.config.text_config))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "siglip2"}, r"\(siglip2\).*no class token.*ViT-B-16 of open_clip"),
        ({"model_type": "chinese_clip"}, r"text tower is a BERT"),
        (
            {
                "model_type": "dinov2",
                "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24},
            },
            "ViT-L-14 of",
        ),
        ({"model_type": "something_new"}, r"\(something_new\).*only CLIPModel"),
        ({"architectures": ["CLIPForImageClassification"]}, "not a part of it or another head"),
        ({"model_type": None}, "says no model_type"),
        ({"vision_config": {"hidden_act": "relu"}}, "hidden_act is 'relu'"),
        ({"vision_config": {"num_channels": 4}}, "4 channels"),
        ({"text_config": {"eos_token_id": [1, 2]}}, "eos_token_id"),
    ],
)
def test_other_configurations_are_refused_with_the_reason(configuration, config, words):
    change(configuration, **config)
    with pytest.raises(ValueError, match=rf"config\.json.*{words}"):
        load_clip(configuration)


def test_weights_that_are_not_the_configurations_are_refused(folder):
    state = load_file(folder / "model.safetensors")
    del state["vision_model.encoder.layers.1.self_attn.k_proj.bias"]
    state["vision_model.head.probe"] = torch.zeros(1)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"resblocks\.1\.attn\.in_proj_bias.*head\.probe"):
        load_clip(folder)


def test_a_repository_that_transformers_has_left_in_the_cache(monkeypatch, model, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--someone--clip"
    saved(model, repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    clip = load_clip("hf-hub:someone/clip", device="cpu", cache_dir=str(tmp_path))
    assert clip.name == "hf-hub:someone/clip"
    assert clip.digest == load_clip(model).digest
    assert clip.encode_texts(["cat"]).shape == (1, 24)


def test_a_name_of_the_hub_without_its_prefix_says_how_to_write_it():
    with pytest.raises(ValueError, match="hf-hub:openai/clip-vit-base-patch32"):
        load_clip("openai/clip-vit-base-patch32")
