"""What weights seem to be of, for the sentence that refuses them."""

from collections.abc import Collection, Mapping

import open_clip
from open_clip.model import CLIPVisionCfg
from torch import Tensor

_SIGNS = (
    # What only this kind of model has in its names, and its name; the first that fits counts.
    ("lora_", "a LoRA adapter: merge it into its model and save that"),
    ("vision_model.head.", "a SigLIP, which has no class token"),
    ("visual.attn_pool.", "a CoCa, or another CLIP that pools by attention"),
    ("text_decoder.", "a CoCa"),
    ("image_encoder.model.", "a MobileCLIP"),
    ("visual.trunk.", "a CLIP with an image tower of timm"),
    ("visual.layer1.", "a CLIP with a ResNet"),
    ("text_model.encoder.layer.", "a ChineseCLIP, or another CLIP whose text tower is a BERT"),
    ("model.diffusion_model.", "a Stable Diffusion"),
    ("down_blocks.", "the U-Net of a diffusion model"),
    ("embed_tokens.", "a language model"),
    ("transformer.h.", "a GPT-2"),
    ("exp_avg", "an optimizer"),
    ("attn.qkv.", "a vision transformer of timm or DINO, without texts"),
    ("encoder.layer.", "a BERT, or a vision transformer of Hugging Face"),
    ("layer1.0.", "a ResNet of torchvision or timm"),
    ("text_model.", "the text tower of a CLIP alone"),
    ("vision_model.", "the image tower of a CLIP alone"),
)
_SHOWN = 3


def seeming(state: Mapping[str, Tensor]) -> str:
    """A few words on what a state dict seems to be of; empty where nothing is known."""
    if "visual.class_embedding" in state and "visual.conv1.weight" in state:
        return _vision_transformer(state)
    found = next((what for sign, what in _SIGNS if any(sign in name for name in state)), "")
    if found:
        return found
    if "class_embedding" in state and "conv1.weight" in state:
        return "the image tower of an open_clip model alone"
    return "the text tower of a CLIP alone" if "token_embedding.weight" in state else ""


def some(names: Collection[str]) -> str:
    """The first three names."""
    shown = list(names)[:_SHOWN]
    return ", ".join(shown) + (", ..." if len(names) > _SHOWN else "")


def _vision_transformer(state: Mapping[str, Tensor]) -> str:
    blocks = {
        name.split(".")[3] for name in state if name.startswith("visual.transformer.resblocks.")
    }
    width, patch = state["visual.conv1.weight"].shape[0], state["visual.conv1.weight"].shape[-1]
    text = state.get("ln_final.weight", state.get("text.ln_final.weight"))
    like = [
        name
        for name in open_clip.list_models()
        if _measures(name) == (len(blocks), width, patch, None if text is None else len(text))
    ]
    what = f"an open_clip ViT of {len(blocks)} blocks, width {width} and patch size {patch}"
    return f"{what}, such as {some(like)}" if like else what


def _measures(name: str) -> tuple[object, object, object, object]:
    config = open_clip.get_model_config(name)
    vision, text = CLIPVisionCfg(**config["vision_cfg"]), config["text_cfg"]
    if vision.timm_model_name or "hf_model_name" in text or "multimodal_cfg" in config:
        return (None,) * 4
    return vision.layers, vision.width, vision.patch_size, text.get("width", 512)
