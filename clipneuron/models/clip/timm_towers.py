"""timm's plain vision transformers as open_clip's: the same modules and weights, in the layout that the method reads.

Source: timm's models/vision_transformer.py. What a picture goes through first (a convolution, or the stem of a hybrid)
is taken as it is; from the first block on the two libraries compute the same.
"""

import sys
from typing import Any

import torch
from open_clip.timm_model import TimmModel
from open_clip.transformer import LayerScale, VisionTransformer
from torch import Tensor, nn

from clipneuron.models.clip.towers import check_tower, refusal


def is_timm(tower: object) -> bool:
    """Whether this is an image tower of timm's, or open_clip's wrapper of one."""
    # Whoever has one has imported timm; others are spared the import.
    timm = sys.modules.get("timm.models.vision_transformer")
    return isinstance(tower, TimmModel) or (
        timm is not None and isinstance(tower, timm.VisionTransformer)
    )


def check_image_tower(tower: Any) -> None:
    """Raises ValueError unless the method covers this tower, as it is or converted from timm's."""
    if not is_timm(tower):
        check_tower(tower)
    elif found := _unlike(tower):
        raise refusal(f"a timm model ({type(_trunk(tower)).__name__}), {found}", tower)


def as_open_clip(tower: Any) -> VisionTransformer:
    """The tower in open_clip's layout, sharing its weights; raises ValueError where the method does not cover it."""
    check_image_tower(tower)
    trunk, head = _trunk(tower), _head(tower)
    width, embed = trunk.embed_dim, trunk.patch_embed
    sides = zip(embed.img_size, embed.grid_size, strict=True)
    with torch.device("meta"):  # every weight is replaced below
        made = VisionTransformer(
            image_size=embed.img_size,
            patch_size=tuple(side // patches for side, patches in sides),
            width=width,
            layers=len(trunk.blocks),
            heads=trunk.blocks[0].attn.num_heads,
            mlp_ratio=1.0,
            output_dim=width if head is None else head.out_features,
        )
    made.conv1 = _Stem(embed)
    made.class_embedding = nn.Parameter(trunk.cls_token.detach()[0, 0])
    made.positional_embedding = nn.Parameter(_positions(trunk))
    made.ln_pre, made.ln_post = trunk.norm_pre, trunk.norm
    made.proj = None if head is None else nn.Parameter(head.weight.detach().T)
    for block, theirs in zip(made.transformer.resblocks, trunk.blocks, strict=True):
        _fill(block, theirs)
    made.preprocess_cfg = _preprocess(tower)
    return made.train(tower.training)


class _Stem(nn.Module):
    """timm's patch embedding, with channels first as open_clip expects them."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    def forward(self, pixels: Tensor) -> Tensor:
        """[image, width, patch]."""
        patches: Tensor = self.embed(pixels)
        return patches.transpose(1, 2)


def _positions(trunk: Any) -> Tensor:
    """Of the class token and the patches; zero for a class token that has none (DeiT III, MobileCLIP-B)."""
    positions: Tensor = trunk.pos_embed.detach()[0]
    none = positions.new_zeros(1, positions.shape[1])
    return torch.cat([none, positions]) if trunk.no_embed_class else positions


def _fill(block: Any, theirs: Any) -> None:
    qkv = theirs.attn.qkv
    block.ln_1, block.ln_2 = theirs.norm1, theirs.norm2
    block.attn.in_proj_weight = qkv.weight
    bias = qkv.weight.new_zeros(len(qkv.weight)) if qkv.bias is None else qkv.bias
    block.attn.in_proj_bias = nn.Parameter(bias)
    block.attn.out_proj = theirs.attn.proj
    block.mlp.c_fc, block.mlp.gelu, block.mlp.c_proj = (
        theirs.mlp.fc1,
        theirs.mlp.act,
        theirs.mlp.fc2,
    )
    block.ls_1, block.ls_2 = _scale(theirs.ls1), _scale(theirs.ls2)


def _scale(theirs: Any) -> nn.Module:
    if isinstance(theirs, nn.Identity):
        return nn.Identity()
    with torch.device("meta"):
        scale: nn.Module = LayerScale(len(theirs.gamma))
    scale.gamma = theirs.gamma
    return scale


def _trunk(tower: Any) -> Any:
    return tower.trunk if isinstance(tower, TimmModel) else tower


def _heads(tower: Any) -> list[nn.Module]:
    """What comes after pooling, in the trunk or in open_clip's wrapper; what does nothing is left out."""
    layers = [_trunk(tower).head, *(tower.head.children() if isinstance(tower, TimmModel) else ())]
    return [layer for layer in layers if not isinstance(layer, nn.Identity | nn.Dropout)]


def _head(tower: Any) -> Any:
    """The projection into the joint space; None where there is none."""
    return next(iter(_heads(tower)), None)


def _preprocess(tower: Any) -> dict[str, Any]:
    given = getattr(tower, "preprocess_cfg", None)
    if given:
        return dict(given)
    own = getattr(_trunk(tower), "pretrained_cfg", None) or {}
    return {name: own[name] for name in ("mean", "std", "interpolation") if name in own}


def _unlike(tower: Any) -> str | None:
    """Why the method's equations do not describe a tower of timm's; None where they do."""
    from timm.models.vision_transformer import VisionTransformer as Plain

    trunk = _trunk(tower)
    if getattr(trunk, "attn_pool", None) is not None:
        return "which is pooled by attention"
    if getattr(trunk, "cls_token", None) is None:
        return "which has no class token"
    if getattr(trunk, "rope", None) is not None:
        return "whose attention turns queries and keys by their positions (RoPE)"
    if type(trunk) is not Plain:
        return "whose blocks are laid out differently"
    return _unlike_tokens(trunk) or _unlike_blocks(trunk) or _unlike_head(tower)


def _unlike_tokens(trunk: Any) -> str | None:
    if trunk.global_pool != "token":
        return f"which is pooled by {trunk.global_pool!r} instead of the class token"
    if trunk.num_prefix_tokens != 1:
        return "which has other tokens (registers) besides the class token"
    if trunk.pos_embed is None or trunk.dynamic_img_size:
        return "whose positions are added in another way"
    if isinstance(trunk.norm, nn.LayerNorm) and isinstance(trunk.fc_norm, nn.Identity):
        return None
    return "which has another last norm"


def _unlike_blocks(trunk: Any) -> str | None:
    from timm.layers.attention import Attention
    from timm.layers.mlp import Mlp
    from timm.models.vision_transformer import Block

    for number, block in enumerate(trunk.blocks):
        attention, mlp = block.attn, block.mlp
        plain = type(block) is Block and type(attention) is Attention and type(mlp) is Mlp
        if not plain or attention.gate is not None:
            return f"whose blocks are laid out differently (block {number})"
        inner = (attention.q_norm, attention.k_norm, attention.norm, mlp.norm)
        if not all(isinstance(norm, nn.Identity) for norm in inner):
            return f"which normalises inside attention or MLP (block {number})"
        if attention.proj.bias is None or mlp.fc2.bias is None:
            return f"whose blocks have no biases (block {number})"
    return None


def _unlike_head(tower: Any) -> str | None:
    heads, head = _heads(tower), _head(tower)
    if len(heads) > 1 or not isinstance(head, nn.Linear | None):
        return "whose projection is more than a matrix"
    if head is None or head.bias is None or head.bias.is_meta or not head.bias.any():
        return None
    return "whose last layer adds a bias, as a classifier does (create it with num_classes=0)"
