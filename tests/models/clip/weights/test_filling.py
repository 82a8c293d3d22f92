import re

import pytest
import torch

from clipneuron.models.clip.weights.filling import build, fill
from clipneuron.models.clip.weights.guesses import seeming
from tests.samples.towers import tiny_clip, tiny_config


def test_weights_that_lack_much_are_refused_in_one_sentence():
    state = tiny_clip().state_dict()
    few = {name: value for name, value in state.items() if "resblocks" not in name}
    with pytest.raises(
        ValueError, match=r"could not load it, .* missing: \d+ of \d+ tensors "
    ) as told:
        fill(tiny_clip(), few, "it")
    words = str(told.value)
    assert words.count("resblocks") == 3
    assert words.count("...") == 1
    assert len(words) < 500


def test_missing_foreign_and_misshapen_weights_are_told_apart():
    state = dict(tiny_clip().state_dict())
    del state["visual.proj"]
    state["visual.extra"] = torch.zeros(1)
    state["ln_final.weight"] = torch.zeros(9)
    with pytest.raises(
        ValueError,
        match=r"missing: 1 of \d+ tensors \(visual\.proj\), without a place in it: 1 \(visual\.extra\), of another "
        r"shape: 1 \(ln_final\.weight \[9\] for \[16\]\)",
    ):
        fill(tiny_clip(), state, "it")


def test_what_the_file_seems_to_be_is_said_with_the_architectures_of_its_size():
    def meta(*shape):
        return torch.empty(shape, device="meta")

    state = {"visual.class_embedding": meta(768), "visual.conv1.weight": meta(768, 3, 32, 32)}
    state |= {f"visual.transformer.resblocks.{n}.ln_1.bias": meta(768) for n in range(12)}
    state |= {"ln_final.weight": meta(512)}
    assert "ViT of 12 blocks, width 768 and patch size 32, such as ViT-B-32" in seeming(state)
    with pytest.raises(ValueError, match=r"seems to be of an open_clip ViT of 12 blocks.*ViT-B-32"):
        fill(tiny_clip(), state, "it")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("visual.layer1.0.conv1.weight", "ResNet"),
        ("visual.trunk.cls_token", "timm"),
        ("vision_model.head.probe", "SigLIP"),
        ("text_model.encoder.layer.0.output.dense.weight", "ChineseCLIP"),
        ("visual.attn_pool.query", "CoCa"),
        ("model.diffusion_model.input_blocks.0.0.weight", "Stable Diffusion"),
        ("base.layers.0.q_proj.lora_A.weight", "LoRA"),
        ("blocks.0.attn.qkv.weight", "timm or DINO"),
        ("model.embed_tokens.weight", "language model"),
        ("layer1.0.conv1.weight", "ResNet of torchvision"),
        ("token_embedding.weight", "text tower of a CLIP alone"),
        ("something", "^$"),
    ],
)
def test_other_peoples_names_are_known(name, words):
    assert re.search(words, seeming({name: torch.zeros(1)}))


def test_positions_of_other_sizes_are_interpolated_as_open_clip_does():
    state = tiny_clip(image_size=16, context_length=8).state_dict()
    network = tiny_clip(seed=1)
    fill(network, state, "it")
    assert network.visual.positional_embedding.shape == (17, 32)
    assert torch.equal(
        network.visual.positional_embedding[0], state["visual.positional_embedding"][0]
    )
    state["visual.positional_embedding"] = torch.zeros(4, 32)  # 3 patches are no square
    with pytest.raises(ValueError, match=r"positional_embedding \[4, 32\] for \[17, 32\]"):
        fill(network, state, "it")


def test_a_scalar_in_a_list_and_a_missing_bias_are_arranged():
    state = dict(tiny_clip().state_dict())
    state["logit_scale"] = state["logit_scale"].reshape(1)
    network = build(tiny_config() | {"init_logit_bias": -10.0}, {}, None, "config")
    fill(network, state, "it")
    assert (network.logit_scale.shape, float(network.logit_bias)) == ((), 0.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vision_cfg": {"layrs": 3}}, r"config is no open_clip configuration: TypeError.*layrs"),
        ({"text_cfg": None}, "config is no open_clip configuration"),
        ({"embed_dm": 3}, "embed_dm"),
        ({"multimodal_cfg": {}}, "config is a CoCa.*choose a CLIP"),
    ],
)
def test_a_configuration_that_open_clip_does_not_know_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        build(tiny_config() | change, {}, None, "config")


def test_a_configuration_that_lacks_a_tower_is_refused():
    config = tiny_config()
    del config["vision_cfg"]
    with pytest.raises(ValueError, match=r"no open_clip configuration.*vision_cfg"):
        build(config, {}, None, "config")
