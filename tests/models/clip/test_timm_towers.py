"""Against timm's own vision transformers: the same embeddings, and a method that adds up."""

from functools import partial

import pytest
import torch
from open_clip.factory import _MODEL_CONFIGS
from open_clip.model import CustomTextCLIP
from open_clip.timm_model import TimmModel
from safetensors.torch import save_file
from timm.layers.hybrid_embed import HybridEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from clipneuron.lens.effects import SecondOrderLens
from clipneuron.lens.first_order import bias_effects, head_effects, mlp_effects, stem_effects
from clipneuron.models.clip.model import load_clip
from tests.samples.towers import tiny_config

SIZE = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 4}


def tiny_timm(**options):
    """A vision transformer of timm's whose every parameter is random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower = VisionTransformer(**{**SIZE, "num_classes": 0, **options})
        with torch.no_grad():
            for name, parameter in tower.named_parameters():
                centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(centre + 0.2 * torch.randn_like(parameter))
            if not isinstance(tower.head, nn.Identity):
                tower.head.bias.zero_()
    return tower.eval()


class Stem(nn.Sequential):
    """A hybrid's stem of two convolutions, as MobileCLIP-B has one of three."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 4, 4), nn.GELU())


def hybrid():
    return tiny_timm(patch_size=2, embed_layer=partial(HybridEmbed, backbone=Stem()))


TOWERS = {
    "augreg": tiny_timm,
    "projected": lambda: tiny_timm(num_classes=24),
    "clip": lambda: tiny_timm(pre_norm=True, norm_layer=partial(nn.LayerNorm, eps=1e-5)),
    "layer scale": lambda: tiny_timm(init_values=0.3),
    "no bias of queries": lambda: tiny_timm(qkv_bias=False),
    "rectangle": lambda: tiny_timm(img_size=(16, 40)),
    "patches of two sides": lambda: tiny_timm(patch_size=(16, 8)),
    "hybrid": hybrid,
    "deit3": lambda: tiny_timm(no_embed_class=True, init_values=0.3),
}


@pytest.fixture(params=TOWERS)
def tower(request):
    return TOWERS[request.param]()


def pixels_of(tower, images=3):
    return torch.randn(images, 3, *tower.patch_embed.img_size)


def test_a_tower_computes_what_timm_does_and_its_effects_add_up(tower):
    clip, pixels = load_clip(tower), pixels_of(tower)
    with torch.no_grad():
        expected = tower(pixels)
    torch.testing.assert_close(clip.encode_images(pixels), expected, atol=1e-4, rtol=1e-4)
    trace = clip.trace(pixels, first_order=True)
    torch.testing.assert_close(trace.embeddings, expected, atol=1e-4, rtol=1e-4)
    whole = head_effects(clip.weights, trace, normalize=False).sum((1, 2))
    whole += mlp_effects(clip.weights, trace, normalize=False).sum(1)
    whole += stem_effects(clip.weights, trace, normalize=False)
    whole += bias_effects(clip.weights, trace, normalize=False)
    torch.testing.assert_close(whole, expected, atol=1e-3, rtol=1e-3)
    assert tuple(clip.visual.grid_size) == tuple(tower.patch_embed.grid_size)
    lens = SecondOrderLens(clip, 1)
    total = lens.effects(trace).sum(1)
    torch.testing.assert_close(total, lens.layer_effect(trace), atol=1e-3, rtol=1e-3)


def test_weights_are_shared_and_facts_are_known():
    tower = tiny_timm()
    clip = load_clip(tower)
    assert clip.weights.blocks[0].value.data_ptr() != 0
    assert (
        clip.visual.transformer.resblocks[1].attn.in_proj_weight is tower.blocks[1].attn.qkv.weight
    )
    assert (clip.layers, clip.neurons, clip.embed, clip.image_size) == (4, 128, 32, (32, 32))
    assert clip.architecture["image"]["ln_1_eps"] == 1e-6
    assert clip.digest == load_clip(tiny_timm()).digest
    with torch.no_grad():
        tower.blocks[0].mlp.fc1.weight[0, 0] += 1
    assert load_clip(tower).digest != clip.digest
    assert load_clip(tiny_timm(), dtype=torch.bfloat16).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="no text tower"):
        clip.encode_texts(["cat"])


def test_an_architecture_of_open_clips_with_such_a_tower(monkeypatch, tmp_path):
    config = tiny_config() | {"custom_text": True}
    config["vision_cfg"] = {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_pool": "token",
        "timm_proj": None,
    }
    monkeypatch.setitem(_MODEL_CONFIGS, "timm-tiny", config)
    network = CustomTextCLIP(**{k: v for k, v in config.items() if k != "custom_text"}).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    clip = load_clip("timm-tiny", tmp_path / "weights.safetensors", device="cpu")
    pixels = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        images, texts = network.encode_image(pixels), clip.encode_texts(["cat"])
    torch.testing.assert_close(clip.encode_images(pixels), images, atol=1e-4, rtol=1e-4)
    assert (clip.layers, clip.embed, texts.shape) == (12, 24, (1, 24))
    torch.testing.assert_close(load_clip(network).encode_images(pixels), clip.encode_images(pixels))


def test_a_wrapper_of_open_clips_with_its_own_projection():
    tower = wrapped(pool="token", proj="linear").eval()
    pixels = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = tower(pixels)
    torch.testing.assert_close(
        load_clip(tower).encode_images(pixels), expected, atol=1e-4, rtol=1e-4
    )


def classifier():
    tower = tiny_timm(num_classes=10)
    nn.init.ones_(tower.head.bias)
    return tower


def wrapped(**options):
    return TimmModel("vit_tiny_patch16_224", embed_dim=8, image_size=224, **options)


REFUSED = {
    "average": (lambda: tiny_timm(global_pool="avg"), "pooled by 'avg'"),
    "attention": (lambda: tiny_timm(global_pool="map"), "pooled by attention"),
    "no class token": (lambda: tiny_timm(class_token=False, global_pool="avg"), "no class token"),
    "registers": (lambda: tiny_timm(reg_tokens=2), "registers"),
    "no positions": (lambda: tiny_timm(pos_embed="none"), "positions"),
    "no last norm": (lambda: tiny_timm(final_norm=False), "another last norm"),
    "qk_norm": (lambda: tiny_timm(qk_norm=True), r"normalises inside .*\(block 0\)"),
    "no biases": (lambda: tiny_timm(proj_bias=False), "no biases"),
    "classifier": (classifier, r"adds a bias.*num_classes=0"),
    "mlp": (lambda: wrapped(pool="token", proj="mlp"), "more than a matrix"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_towers_that_differ_are_refused_with_the_reason(kind):
    build, words = REFUSED[kind]
    with pytest.raises(ValueError, match=rf"a timm model \(VisionTransformer\), .*{words}.*ViT-B-"):
        load_clip(build())


def test_pixels_are_those_of_the_model():
    tower = tiny_timm()
    tower.pretrained_cfg = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "crop_pct": 0.9}
    assert load_clip(tower).preprocess.mean == (0.5, 0.4, 0.3)
