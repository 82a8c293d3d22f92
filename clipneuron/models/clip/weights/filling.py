"""open_clip's network of a configuration, and the weights that go into it; never random ones."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from math import isqrt
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import (
    CLIP,
    CustomTextCLIP,
    convert_to_custom_text_state_dict,
    resize_pos_embed,
    resize_text_pos_embed,
    set_model_preprocess_cfg,
)
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import Tensor

from clipneuron.models.clip.timm_towers import check_image_tower
from clipneuron.models.clip.weights.guesses import seeming, some

_TEXT_POSITIONS = ("positional_embedding", "text.positional_embedding")
_IMAGE_POSITIONS = "visual.positional_embedding"


def build(
    config: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    quick_gelu: bool | None,
    source: str,
) -> Any:
    """The network of an open_clip configuration, still with random weights; raises ValueError, which names `source`.

    `preprocess` is what its pictures need, as far as it is not open_clip's default.
    """
    settings = deepcopy(dict(config))
    if quick_gelu is not None:
        settings["quick_gelu"] = quick_gelu
    check_texts_too(settings, source)
    try:
        network = _network(settings)
    except (TypeError, KeyError, AttributeError, AssertionError, ValueError, RuntimeError) as error:
        raise ValueError(f"{source} is no open_clip configuration: {error!r}") from error
    check_image_tower(network.visual)
    chosen = merge_preprocess_dict(asdict(PreprocessCfg()), dict(preprocess))
    set_model_preprocess_cfg(network, chosen | {"size": network.visual.image_size})
    return network


def check_texts_too(config: Mapping[str, Any], source: str) -> None:
    """Raises ValueError for a captioner, whose texts go another way than those of a CLIP."""
    if "multimodal_cfg" in config:
        raise ValueError(
            f"{source} is a CoCa, whose text tower ends in a decoder: choose a CLIP, such as ViT-B-32 or ViT-L-14"
        )


def fill(network: Any, tensors: Mapping[str, Tensor], title: str) -> None:
    """Put weights under open_clip's names into its network; raises ValueError where they do not fit.

    Where they are of pictures or texts of another size, open_clip interpolates their positions.
    """
    state = _arranged(convert_state_dict(network, dict(tensors)), network)
    found = {name: tensor.shape for name, tensor in state.items()}
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    _check_fit(expected, found, title, tensors)
    resize_pos_embed(state, network)
    resize_text_pos_embed(state, network)
    network.load_state_dict(state)


def _network(settings: dict[str, Any]) -> Any:
    texts = settings["text_cfg"]
    by_hugging_face = bool(texts.get("hf_model_name"))
    if by_hugging_face:
        texts["hf_model_pretrained"] = False
    custom = settings.pop("custom_text", False) or by_hugging_face
    return (CustomTextCLIP if custom else CLIP)(**settings)


def _arranged(state: dict[str, Tensor], network: Any) -> dict[str, Tensor]:
    """What differs between versions of open_clip: the text tower's prefix, shapes of scalars, buffers."""
    custom = hasattr(network, "text")
    if custom and "positional_embedding" in state:
        state = convert_to_custom_text_state_dict(state)
    elif not custom and "text.ln_final.weight" in state:
        state = {name.removeprefix("text."): tensor for name, tensor in state.items()}
    bias = getattr(network, "logit_bias", None)
    if bias is not None:
        state.setdefault("logit_bias", torch.zeros_like(bias))
    for name in ("logit_scale", "logit_bias"):
        mine = getattr(network, name, None)
        if name in state and mine is not None and state[name].numel() == mine.numel():
            state[name] = state[name].reshape(mine.shape)
    known = network.state_dict()
    for buffer in ("attn_mask", "text.attn_mask", "text.transformer.embeddings.position_ids"):
        if buffer not in known:
            state.pop(buffer, None)
    return state


def _check_fit(
    expected: Mapping[str, torch.Size],
    found: Mapping[str, torch.Size],
    title: str,
    tensors: Mapping[str, Tensor],
) -> None:
    missing = [name for name in expected if name not in found]
    foreign = [name for name in found if name not in expected]
    other = [name for name in expected if name in found and not _same(name, expected, found)]
    faults = []
    if missing:
        faults.append(f"missing: {len(missing)} of {len(expected)} tensors ({some(missing)})")
    if foreign:
        faults.append(f"without a place in it: {len(foreign)} ({some(foreign)})")
    if other:
        shapes = [f"{name} {list(found[name])} for {list(expected[name])}" for name in other]
        faults.append(f"of another shape: {len(other)} ({some(shapes)})")
    if faults:
        seems = seeming(tensors)
        what = f"; the file seems to be of {seems}" if seems else ""
        raise ValueError(
            f"could not load {title}, the weights are not this model's; {', '.join(faults)}{what}"
        )


def _same(name: str, expected: Mapping[str, torch.Size], found: Mapping[str, torch.Size]) -> bool:
    """Whether the shapes agree, or can be made to: another number of positions is interpolated."""
    mine, theirs = expected[name], found[name]
    if name in _TEXT_POSITIONS:
        return mine[1:] == theirs[1:]
    if name == _IMAGE_POSITIONS and mine != theirs:
        patches = theirs[0] - 1
        return mine[1:] == theirs[1:] and isqrt(patches) ** 2 == patches
    return mine == theirs
