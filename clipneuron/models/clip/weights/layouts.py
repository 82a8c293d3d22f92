"""Names of weights: what wrappers of networks put around them is taken off, Hugging Face's become open_clip's."""

import logging
import re
from collections.abc import Iterable

import torch
from torch import Tensor

_LOG = logging.getLogger(__name__)

_WRAPPED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What torch.compile, FSDP and checkpointing add wherever a module is wrapped; no network has such names itself."""

_THEIRS = "vision_model.embeddings.class_embedding"
_CLASS_TOKENS = ("visual.class_embedding", "visual.trunk.cls_token", _THEIRS)
"""The name by which a CLIP is found among others' weights: open_clip's, with timm's towers, and Hugging Face's."""

_BLOCK = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_TOWERS = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # spelt so in transformers
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
}
_TRANSPOSED = {
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text_projection",
}
_LAYER = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_ATTENTION = re.compile(r"self_attn\.([qkv])_proj")


def open_clip_names(tensors: dict[str, Tensor], source: object) -> dict[str, Tensor]:
    """The same weights as open_clip names them; raises ValueError where it is not clear which ones are meant."""
    state = _without_prefix(_unwrapped(tensors, source), source)
    return _converted(state) if _THEIRS in state else state


def is_hugging_face(tensors: Iterable[str]) -> bool:
    """Whether these are names of Hugging Face's CLIPModel, with or without a prefix."""
    return any(name.endswith(_THEIRS) for name in tensors)


def _unwrapped(tensors: dict[str, Tensor], source: object) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name
        for wrapper in _WRAPPED:
            plain = plain.replace(wrapper, "")
        if plain in found:
            raise ValueError(f"could not load {source}: it holds {plain} twice, once as {name}")
        found[plain] = tensor
    return found


def _without_prefix(tensors: dict[str, Tensor], source: object) -> dict[str, Tensor]:
    prefixes = {
        name.removesuffix(token)
        for name in tensors
        for token in _CLASS_TOKENS
        if name.endswith(f".{token}") or name == token
    }
    if len(prefixes) > 1:
        shown = ", ".join(repr(prefix) for prefix in sorted(prefixes))
        raise ValueError(
            f"could not load {source}: it holds {len(prefixes)} models, whose names begin with {shown}; save the one "
            "that is meant by itself"
        )
    prefix = next(iter(prefixes), "")
    kept = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    if len(kept) < len(tensors):
        others = len(tensors) - len(kept)
        _LOG.warning("%s: %d tensors outside of %r are left out", source, others, prefix)
    return kept


def _converted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Hugging Face's CLIPModel in open_clip's layout; what has no counterpart keeps its name."""
    found: dict[str, Tensor] = {}
    attention: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.endswith("position_ids"):
            continue
        if name in _TRANSPOSED:
            found[_TRANSPOSED[name]] = tensor.T
            continue
        place, projection = _place(name)
        if projection:
            attention.setdefault(place, {})[projection] = tensor
        else:
            found[place] = tensor
    for place, parts in attention.items():
        if len(parts) == 3:
            found[place] = torch.cat([parts["q"], parts["k"], parts["v"]])
    return found


def _place(name: str) -> tuple[str, str]:
    """open_clip's name, and which of query, key and value this is a part of."""
    matched = _LAYER.fullmatch(name)
    if not matched:
        return _TOWERS.get(name, name), ""
    tower, layer, part, kind = matched.groups()
    block = f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{layer}"
    projection = _ATTENTION.fullmatch(part)
    if projection:
        return f"{block}.attn.in_proj_{kind}", projection[1]
    return (f"{block}.{_BLOCK[part]}.{kind}", "") if part in _BLOCK else (name, "")
