"""Which image towers the method covers, and the weights that second-order paths run through."""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import (
    CustomResidualAttentionBlock,
    CustomTransformer,
    LayerScale,
    ResidualAttentionBlock,
    TextTransformer,
    VisionTransformer,
)
from torch import Tensor, nn

from clipneuron.lens.trace import BlockWeights, TowerWeights
from clipneuron.models.clip.nearest import nearest

_EXPECTED = (
    "expected an open_clip VisionTransformer with plain residual attention blocks whose output is "
    "its class token (pool_type='tok'), such as the image tower of ViT-B-32, ViT-L-14 or ViT-H-14"
)


def check_tower(visual: Any) -> None:
    """Raise ValueError unless the method's equations describe this image tower."""
    found = _foreign_tower(visual) or _foreign_pooling(visual) or _foreign_blocks(visual)
    if found:
        raise refusal(found, visual)


def refusal(found: str, visual: Any) -> ValueError:
    """The error for an image tower that the method does not cover, with what is nearest to it."""
    return ValueError(f"this image tower is {found}; {_EXPECTED}: choose {_nearest(visual)}")


def tower_weights(visual: Any) -> TowerWeights:
    """The input-independent part of a tower: W_V, W_O, neuron writes, layer norms, projection.

    Tensors are views of the model's own parameters wherever nothing has to be folded in, so changing
    the model in place changes them too. LayerScale is folded into a block's output weights.
    """
    check_tower(visual)
    gamma, beta = _affine(visual.ln_post, visual.class_embedding)
    return TowerWeights(
        blocks=tuple(_block_weights(block) for block in visual.transformer.resblocks),
        ln_post_gamma=gamma,
        ln_post_beta=beta,
        projection=_projection(visual),
    )


def _foreign_tower(visual: Any) -> str | None:
    if isinstance(visual, VisionTransformer):
        return None
    names = {
        ModifiedResNet: "a ResNet (open_clip's ModifiedResNet), which has no class token",
        TimmModel: "a timm model (open_clip's TimmModel), whose blocks are laid out differently",
        TextTransformer: "a text transformer, not an image tower",
    }
    kinds = (name for kind, name in names.items() if isinstance(visual, kind))
    return next(kinds, f"an object of type {type(visual).__name__}")


def _nearest(visual: Any) -> str:
    """The supported architecture of about this size, where the tower has a size."""
    if not isinstance(visual, nn.Module):
        return "such a model"
    parameters = sum(parameter.numel() for parameter in visual.parameters())
    convolutions = (module for module in visual.modules() if isinstance(module, nn.Conv2d))
    first = next(convolutions, None)
    patch = float(first.stride[0]) if first else 16.0
    return f"such a model, of about this size {nearest(float(parameters), patch)}"


def _foreign_pooling(visual: VisionTransformer) -> str | None:
    if visual.attn_pool is not None:
        return "pooled by attention (attentional_pool, as in CoCa)"
    if visual.pool_type != "tok":
        return f"pooled by pool_type={visual.pool_type!r} instead of the class token"
    return None


def _foreign_blocks(visual: VisionTransformer) -> str | None:
    if isinstance(visual.transformer, CustomTransformer):
        return "built of open_clip's CustomTransformer"
    for number, block in enumerate(visual.transformer.resblocks):
        found = _foreign_block(block)
        if found:
            return f"{found} (block {number})"
    return None


def _foreign_block(block: Any) -> str | None:
    if isinstance(block, CustomResidualAttentionBlock):
        return (
            "built of custom attention blocks (block_type, qk_norm, scaled_cosine_attn or scale_*)"
        )
    if hasattr(block, "_orig_mod"):
        return "built of blocks that torch.compile is wrapped around: give it before they are"
    if not isinstance(block, ResidualAttentionBlock):
        return f"built of blocks of type {type(block).__name__}"
    attention = block.attn
    if not isinstance(attention, nn.MultiheadAttention) or attention.in_proj_weight is None:
        return "built with an attention that has no joint query, key and value weight"
    if not block.mlp.c_proj.weight.is_floating_point():
        return "quantised: its MLP weights are not floating-point numbers"
    return None


def _block_weights(block: ResidualAttentionBlock) -> BlockWeights:
    heads = block.attn.num_heads
    gamma, beta = _affine(block.ln_1, block.attn.in_proj_weight)
    value = block.attn.in_proj_weight.detach().chunk(3)[2]
    value_bias = block.attn.in_proj_bias.detach().chunk(3)[2]
    output, output_bias = folded(block.attn.out_proj, block.ls_1)
    neuron_writes, neuron_bias = folded(block.mlp.c_proj, block.ls_2)
    return BlockWeights(
        ln_1_gamma=gamma,
        ln_1_beta=beta,
        value=rearrange(value, "(h c) w -> h c w", h=heads),
        value_bias=rearrange(value_bias, "(h c) -> h c", h=heads),
        output=rearrange(output, "(h c) w -> h c w", h=heads),
        output_bias=output_bias,
        neuron_writes=neuron_writes,
        neuron_bias=neuron_bias,
    )


def folded(
    linear: nn.Linear, scale: nn.Module
) -> tuple[Float[Tensor, "channel width"], Float[Tensor, "width"]]:
    """What each unit of input writes, and the bias, with LayerScale folded in."""
    writes, bias = linear.weight.detach().T, linear.bias.detach()
    if isinstance(scale, LayerScale):
        gamma = scale.gamma.detach()
        return writes * gamma, bias * gamma
    return writes, bias


def _affine(
    norm: nn.LayerNorm, like: Tensor
) -> tuple[Float[Tensor, "width"], Float[Tensor, "width"]]:
    """A layer norm's gamma and beta; ones and zeros, typed as `like`, where it was built without."""
    gamma = like.new_ones(norm.normalized_shape) if norm.weight is None else norm.weight
    beta = torch.zeros_like(gamma) if norm.bias is None else norm.bias
    return gamma.detach(), beta.detach()


def _projection(visual: VisionTransformer) -> Float[Tensor, "width embed"]:
    example: Tensor = visual.class_embedding if visual.proj is None else visual.proj
    if visual.proj is not None:
        return example.detach()
    return torch.eye(example.shape[0], dtype=example.dtype, device=example.device)
