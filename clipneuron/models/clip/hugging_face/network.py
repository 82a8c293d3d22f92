"""Hugging Face's CLIPModel as open_clip's CLIP: configuration, activations, preprocessing. Needs no transformers.

The two compute the same: the names of the weights differ (`weights.layouts`), and their configurations.
Source: transformers' models/clip (configuration_clip.py, modeling_clip.py, image_processing_clip.py).
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from open_clip.transformer import QuickGELU
from torch import nn

from clipneuron.models.clip.nearest import nearest
from clipneuron.models.clip.weights.filling import build, fill
from clipneuron.models.clip.weights.layouts import open_clip_names
from clipneuron.models.clip.weights.reading import read_folder, read_json

CONFIG = "config.json"

_SHARED = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_hidden_layers": 12}
_VISION = _SHARED | {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
}
_TEXT = _SHARED | {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}
"""transformers' defaults: a config.json says only what differs from them."""

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "quick_gelu": QuickGELU,
    "gelu": nn.GELU,
    "gelu_python": nn.GELU,
    **dict.fromkeys(
        ("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), partial(nn.GELU, approximate="tanh")
    ),
}
_LEGACY_EOS = 2
"""An end of text that configurations state wrongly; transformers then takes the largest token, as OpenAI did."""

_OTHERS = {
    "siglip": "it pools by attention and has no class token",
    "siglip2": "it pools by attention and has no class token",
    "chinese_clip": "its text tower is a BERT",
    "altclip": "its text tower is an XLM-RoBERTa",
    "metaclip_2": "its texts are pooled in another way",
    "clipseg": "it is a CLIP with a decoder for segmentation: take the CLIP that it was made of",
    "clip_vision_model": "it is an image tower alone, and neurons are described with texts",
    "clip_text_model": "it is a text tower alone",
    "clip_vision_with_projection": "it is an image tower alone, and neurons are described with texts",
    "vit": "it was trained without texts",
    "dinov2": "it was trained without texts",
    "dinov3_vit": "it was trained without texts",
    "owlvit": "it is a detector, whose class token scales its patches",
    "owlv2": "it is a detector, whose class token scales its patches",
    "align": "its image tower is an EfficientNet",
    "groupvit": "its image tower groups patches and has no class token",
    "blip": "its image tower feeds a language model",
    "blip-2": "its image tower feeds a language model",
    "llava": "it is a language model that looks at pictures",
}
_PARTS = ("CLIPVision", "CLIPText", "CLIPForImageClassification")
"""How architectures are called that are only a part of a CLIPModel, or have another head."""


def is_transformers(model: object) -> bool:
    """Whether this is a model of Hugging Face's transformers, of whatever kind."""
    return hasattr(getattr(model, "config", None), "model_type") and hasattr(model, "state_dict")


def network_of(model: Any) -> Any:
    """An open_clip network with the weights of a CLIPModel in memory; raises ValueError for other models."""
    config = model.config.to_dict() | {"architectures": [type(model).__name__]}
    title = f"this {type(model).__name__}"
    _check_kind(config, title)
    network = _network(config, {}, None, title)
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    fill(network, open_clip_names(state, title), title)
    example = next(iter(state.values()))
    return network.to(example.device, example.dtype)


def network_in(folder: Path, quick_gelu: bool | None) -> Any:
    """An open_clip network with the weights in a folder that `save_pretrained` wrote; raises ValueError."""
    source = f"{folder / CONFIG}"
    config = read_json(folder / CONFIG)
    _check_kind(config, source)
    network = _network(config, preprocessing(folder, config), quick_gelu, source)
    weights = read_folder(folder)
    fill(network, open_clip_names(weights.tensors, weights.path), f"{folder}")
    return network


def activation_beside(path: Path) -> bool | None:
    """Whether the config.json beside a CLIPModel's weights says QuickGELU; None without one."""
    beside = path.parent / CONFIG
    if not beside.is_file():
        return None
    config = read_json(beside)
    return bool(_part(config, "vision_config", _VISION)["hidden_act"] == "quick_gelu")


def text_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The text tower's configuration, with transformers' defaults."""
    return _part(config, "text_config", _TEXT)


def preprocessing(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """open_clip's words for a folder's preprocessing, and OpenAI's where it says nothing.

    Raises ValueError for one that open_clip's transform cannot do.
    """
    name, settings = _processor(folder)
    if not settings:
        return {}
    size = _part(config, "vision_config", _VISION)["image_size"]
    source = folder / name
    found = {"mean": settings.get("image_mean"), "std": settings.get("image_std")}
    off = [
        step for step in ("resize", "rescale", "normalize") if not settings.get(f"do_{step}", True)
    ]
    if off or round(1 / settings.get("rescale_factor", 1 / 255)) != 255:
        raise ValueError(
            f"{source}: pictures would not be brought to {size} pixels and normalised "
            f"(do_{off[0] if off else 'rescale'}): expected CLIP's preprocessing"
        )
    resampling = {2: "bilinear", 3: "bicubic"}.get(settings.get("resample", 3))
    mode = _resize_mode(settings, size)
    if resampling is None or mode is None:
        raise ValueError(
            f"{source} resizes to {settings.get('size')}, resample {settings.get('resample')}, and crops to "
            f"{settings.get('crop_size')}: expected bicubic or bilinear to the model's {size} pixels, the shortest "
            "edge or both"
        )
    return found | {"interpolation": resampling, "resize_mode": mode}


def _network(
    config: Mapping[str, Any], preprocess: Mapping[str, Any], quick_gelu: bool | None, source: str
) -> Any:
    vision, text = _part(config, "vision_config", _VISION), text_settings(config)
    activations = [_activation(part, quick_gelu, source) for part in (vision, text)]
    network = build(_open_clip_config(config, vision, text, source), preprocess, None, source)
    for tower, make in zip((network.visual, network), activations, strict=True):
        for block in tower.transformer.resblocks:
            block.mlp.gelu = make()
    return network


def _open_clip_config(
    config: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any], source: str
) -> dict[str, Any]:
    if vision["num_channels"] != 3:
        raise ValueError(f"{source}: pictures of {vision['num_channels']} channels; expected 3")
    eos = text["eos_token_id"]
    if not isinstance(eos, int):
        raise ValueError(f"{source}: eos_token_id is {eos!r}, expected one number")
    pooling = {"pool_type": "argmax"} if eos == _LEGACY_EOS else {"pool_type": "eos", "eos_id": eos}
    return {
        "embed_dim": config.get("projection_dim", 512),
        "vision_cfg": {
            **_tower(vision),
            "head_width": vision["hidden_size"] // vision["num_attention_heads"],
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
        },
        "text_cfg": {
            **_tower(text),
            "heads": text["num_attention_heads"],
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            **pooling,
        },
    }


def _tower(part: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "width": part["hidden_size"],
        "layers": part["num_hidden_layers"],
        # open_clip rounds down: half a neuron more gives the number itself
        "mlp_ratio": (part["intermediate_size"] + 0.5) / part["hidden_size"],
        "norm_kwargs": {"eps": part["layer_norm_eps"]},
    }


def _activation(
    part: Mapping[str, Any], quick_gelu: bool | None, source: str
) -> Callable[[], nn.Module]:
    if quick_gelu is not None:
        return QuickGELU if quick_gelu else nn.GELU
    name = part["hidden_act"]
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"{source}: hidden_act is {name!r}, expected one of {', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name]


def _part(config: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A tower's configuration; a `..._dict` beside it, which old files have, replaces it in transformers."""
    given = config.get(f"{name}_dict")
    if given is None:
        given = config.get(name) or {}
    return dict(defaults) | {key: value for key, value in given.items() if key in defaults}


def _check_kind(config: Mapping[str, Any], source: str) -> None:
    kind = config.get("model_type")
    names = config.get("architectures") or []
    part = next((name for name in names if name.startswith(_PARTS)), "")
    if kind == "clip" and not part:
        return
    if kind is None:
        raise ValueError(
            f"{source} says no model_type: expected the config.json of a CLIPModel, or open_clip_config.json"
        )
    reason = _OTHERS.get(kind, "only CLIPModel has the layout that the method needs")
    if kind == "clip":
        reason = "only a whole CLIPModel can be read, not a part of it or another head"
    shown = part or (names[0] if names else kind)
    raise ValueError(
        f"{source} is a {shown} ({kind}), which is not supported: {reason}. {_advice(config)}"
    )


def _advice(config: Mapping[str, Any]) -> str:
    vision = config.get("vision_config") or config
    width, layers = vision.get("hidden_size", 768), vision.get("num_hidden_layers", 12)
    patch = vision.get("patch_size") or 16
    name = nearest(12.0 * layers * width**2, float(patch if isinstance(patch, int) else 16))
    return f"Nearest among those that are: {name} of open_clip, or a CLIPModel of that size"


def _processor(folder: Path) -> tuple[str, dict[str, Any]]:
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            settings = read_json(folder / name)
            return name, settings.get("image_processor", settings)
    return "", {}


def _resize_mode(settings: Mapping[str, Any], size: int) -> str | None:
    """open_clip's word for how pictures come to the model's size, None where they would not."""
    asked = settings.get("size", size)
    cropped = settings.get("crop_size", size) if settings.get("do_center_crop", True) else None
    if asked in (size, {"shortest_edge": size}) and cropped in (size, _square(size)):
        return "shortest"
    return "squash" if asked == _square(size) and cropped in (None, size, _square(size)) else None


def _square(size: int) -> dict[str, int]:
    return {"height": size, "width": size}
