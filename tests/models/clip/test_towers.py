import open_clip
import pytest
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIPVisionCfg, _build_vision_tower
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import CustomTransformer, TextTransformer
from torch import nn

from clipneuron.models.clip.timm_towers import check_image_tower
from clipneuron.models.clip.towers import check_tower, tower_weights
from tests.samples.towers import random_pixels, tiny_tower


def custom_transformer():
    tower = tiny_tower()
    tower.transformer = CustomTransformer(32, 2, 4)
    return tower


def foreign_block():
    tower = tiny_tower()
    tower.transformer.resblocks[2] = nn.TransformerEncoderLayer(32, 4)
    return tower


def two_key_widths():
    tower = tiny_tower()
    tower.transformer.resblocks[1].attn = nn.MultiheadAttention(32, 4, kdim=16, vdim=16)
    return tower


def quantised():
    tower = tiny_tower()
    projection = tower.transformer.resblocks[1].mlp.c_proj
    projection.weight = nn.Parameter(projection.weight.to(torch.int8), requires_grad=False)
    return tower


def tiny_resnet():
    return ModifiedResNet(layers=(1, 1, 1, 1), output_dim=8, heads=2, image_size=32, width=8)


def tiny_timm():
    return TimmModel(
        "vit_tiny_patch16_224", embed_dim=8, image_size=32, pool="token", proj="linear"
    )


def coca_tower():
    vision = {"layers": 1, "width": 16, "head_width": 8, "patch_size": 16, "image_size": 32}
    text = {"context_length": 8, "vocab_size": 30, "width": 16, "heads": 2, "layers": 1}
    decoder = {**text, "attn_pooler_heads": 2}
    vision |= {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    return CoCa(16, multimodal_cfg=decoder, text_cfg=text, vision_cfg=vision).visual


REFUSED = {
    "resnet": (tiny_resnet, "ResNet"),
    "timm": (tiny_timm, "timm"),
    "text": (
        lambda: TextTransformer(width=16, heads=2, layers=1, vocab_size=30),
        "text transformer",
    ),
    "linear": (lambda: nn.Linear(2, 2), "type Linear"),
    "none": (lambda: None, "type NoneType"),
    "attentional_pool": (lambda: tiny_tower(attentional_pool=True), "pooled by attention"),
    "cascade": (lambda: tiny_tower(attentional_pool="cascade"), "pooled by attention"),
    "coca": (coca_tower, "pooled by attention"),
    "avg": (lambda: tiny_tower(pool_type="avg"), "pool_type='avg'"),
    "no_pool": (lambda: tiny_tower(pool_type="none"), "pool_type='none'"),
    "custom_transformer": (custom_transformer, "CustomTransformer"),
    "custom": (lambda: tiny_tower(block_type="custom"), "custom attention blocks"),
    "qk_norm": (lambda: tiny_tower(qk_norm=True), "custom attention blocks"),
    "cosine": (lambda: tiny_tower(scaled_cosine_attn=True), "custom attention blocks"),
    "scale_heads": (lambda: tiny_tower(scale_heads=True), "custom attention blocks"),
    "scale_attn": (lambda: tiny_tower(scale_attn=True), "custom attention blocks"),
    "scale_fc": (lambda: tiny_tower(scale_fc=True), "custom attention blocks"),
    "foreign_block": (foreign_block, r"TransformerEncoderLayer \(block 2\)"),
    "two_key_widths": (two_key_widths, r"no joint .* \(block 1\)"),
    "quantised": (quantised, "quantised"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_method_does_not_cover_is_refused(kind):
    build, words = REFUSED[kind]
    with pytest.raises(ValueError, match=rf"this image tower is .*{words}.*expected an open_clip"):
        check_tower(build())
    with pytest.raises(ValueError, match=words):
        tower_weights(build())


@pytest.mark.parametrize(
    ("name", "reason", "nearest"),
    [
        ("RN50", "a ResNet", "ViT-B-"),
        ("ViT-B-16-SigLIP", "pooled by attention", "ViT-B-16"),
        ("EVA02-L-14", r"\(RoPE\)", "ViT-L-14"),
        ("convnext_base", "no class token", "ViT-B-"),
    ],
)
def test_refusals_name_the_reason_and_the_nearest_architecture(name, reason, nearest):
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        tower = _build_vision_tower(config["embed_dim"], CLIPVisionCfg(**config["vision_cfg"]))
    with pytest.raises(ValueError, match=rf"{reason}.*of about this size {nearest}"):
        check_image_tower(tower)


def test_a_plain_tower_passes():
    check_tower(tiny_tower())


def test_shapes():
    weights = tower_weights(tiny_tower(heads=2, width=32, embed=24))
    block = weights.blocks[3]
    assert (weights.layers, weights.heads, weights.neurons) == (4, 2, 128)
    assert (weights.width, weights.embed) == (32, 24)
    assert block.value.shape == block.output.shape == (2, 16, 32)
    assert block.value_bias.shape == (2, 16)
    assert block.neuron_writes.shape == (128, 32)
    assert not block.neuron_writes.requires_grad


def test_weights_are_views_where_nothing_is_folded_in():
    tower = tiny_tower()
    block, weights = tower.transformer.resblocks[1], tower_weights(tower).blocks[1]
    attention = block.attn
    pairs = {
        weights.value: attention.in_proj_weight,
        weights.value_bias: attention.in_proj_bias,
        weights.output: attention.out_proj.weight,
        weights.neuron_writes: block.mlp.c_proj.weight,
        weights.ln_1_gamma: block.ln_1.weight,
    }
    for view, parameter in pairs.items():
        assert view.untyped_storage().data_ptr() == parameter.untyped_storage().data_ptr()


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("batch_first", [True, False])
def test_folded_weights_are_what_the_blocks_attention_and_mlp_do(scale, batch_first):
    tower = tiny_tower(ls_init_value=scale, batch_first=batch_first)
    block, weights = tower.transformer.resblocks[1], tower_weights(tower).blocks[1]
    tokens = torch.randn(3, 7, 32, dtype=torch.float64)
    order = tokens if batch_first else tokens.transpose(0, 1)
    with torch.no_grad():
        mixed, rows = block.attn(order, order, order, average_attn_weights=False)
        attended, written = block.ls_1(mixed), block.ls_2(block.mlp(order))
        hidden = block.mlp.gelu(block.mlp.c_fc(tokens))
    attended = attended if batch_first else attended.transpose(0, 1)
    written = written if batch_first else written.transpose(0, 1)
    values = torch.einsum("itw,hcw->ithc", tokens, weights.value) + weights.value_bias
    outputs = torch.einsum("ihst,ithc,hcw->isw", rows, values, weights.output)
    torch.testing.assert_close(outputs + weights.output_bias, attended)
    torch.testing.assert_close(hidden @ weights.neuron_writes + weights.neuron_bias, written)


def test_a_tower_without_projection_projects_by_identity():
    tower = tiny_tower()
    tower.proj = None
    weights = tower_weights(tower)
    assert torch.equal(weights.projection, torch.eye(32, dtype=torch.float64))
    with torch.no_grad():
        assert tower(random_pixels(tower)).shape == (5, 32)


def test_layer_norms_without_gain_or_bias_have_gamma_one_and_beta_zero():
    settings = CLIPVisionCfg(
        layers=2,
        width=32,
        head_width=8,
        patch_size=8,
        image_size=32,
        norm_kwargs={"elementwise_affine": False},
    )
    weights = tower_weights(_build_vision_tower(24, settings))
    assert torch.equal(weights.ln_post_gamma, torch.ones(32))
    assert torch.equal(weights.blocks[1].ln_1_beta, torch.zeros(32))
