"""The identity of a model: its architecture and every bit of its weights."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Fact = str | int | float | bool | None


def describe(visual: Any, network: Any) -> dict[str, dict[str, Fact]]:
    """Everything about both towers that the state dict omits or only implies."""
    text = getattr(network, "text", network)
    return {"image": _image_facts(visual), "text": _text_facts(text) if text is not visual else {}}


def digest(architecture: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """SHA-256 over the architecture and over names, types, shapes and bytes of all weights.

    The architecture counts because the same weights under GELU and QuickGELU are two models.
    """
    total = hashlib.sha256(json.dumps(architecture, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name]
        if isinstance(tensor, Tensor):
            total.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            total.update(memoryview(_bytes(tensor)))
    return total.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _image_facts(visual: Any) -> dict[str, Fact]:
    height, width = visual.image_size
    patch_height, patch_width = visual.patch_size
    return {
        "image_height": height,
        "image_width": width,
        "patch_height": patch_height,
        "patch_width": patch_width,
        "embed": visual.output_dim,
        "final_ln_after_pool": visual.final_ln_after_pool,
        "ln_post_eps": visual.ln_post.eps,
        "ln_pre_eps": getattr(visual.ln_pre, "eps", None),
        **_transformer_facts(visual.transformer),
    }


def _text_facts(text: Any) -> dict[str, Fact]:
    """Facts of an open_clip text tower; of another kind, only its type; none without a text tower."""
    transformer = getattr(text, "transformer", None)
    if not hasattr(transformer, "resblocks"):
        return {} if transformer is None else {"type": type(text).__name__}
    return {
        "context": getattr(text, "context_length", None),
        "vocabulary": getattr(text, "vocab_size", None),
        "pool": getattr(text, "text_pool_type", getattr(text, "pool_type", None)),
        **_transformer_facts(transformer),
    }


def _transformer_facts(transformer: Any) -> dict[str, Fact]:
    block = transformer.resblocks[0]
    activation = block.mlp.gelu
    return {
        "layers": len(transformer.resblocks),
        "width": block.ln_1.normalized_shape[0],
        "heads": block.attn.num_heads,
        "neurons": block.mlp.c_proj.weight.shape[1],
        # a module prints its options: GELU(approximate='none') is not GELU(approximate='tanh')
        "activation": repr(activation),
        "block": type(block).__name__,
        "ln_1_eps": block.ln_1.eps,
    }
