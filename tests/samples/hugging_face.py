"""Small CLIPModels of Hugging Face's transformers, in memory and as folders that `save_pretrained` writes."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

WORDS = ["c a", "ca t</w>", "d o", "do g</w>"]
"""Merges of a vocabulary of 512 bytes, these, and two special tokens: 516 begins a text, 517 ends it."""


def tiny_hugging_face(
    *, act: str = "quick_gelu", text_act: str = "quick_gelu", eos: int = 517, **vision: Any
) -> CLIPModel:
    """A CLIPModel of two small towers, whose every parameter is random."""
    shared = {"num_hidden_layers": 3, "num_attention_heads": 2}
    text = {"hidden_size": 16, "intermediate_size": 40, "vocab_size": 518, **shared}
    text |= {"max_position_embeddings": 8, "hidden_act": text_act, "eos_token_id": eos}
    image = {"hidden_size": 32, "intermediate_size": 100, "image_size": 32, "patch_size": 8}
    image |= {"hidden_act": act, **shared, **vision}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=image, projection_dim=24))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(centre + 0.2 * torch.randn_like(parameter))
    return model.eval()


def saved(model: CLIPModel, folder: Path, **options: Any) -> Path:
    """The folder, with the model as `save_pretrained` writes it and a vocabulary beside it."""
    model.save_pretrained(folder, **options)
    write_words(folder)
    return folder


def write_words(folder: Path) -> None:
    """vocab.json and merges.txt as transformers has always written them."""
    from open_clip.tokenizer import bytes_to_unicode

    characters = list(bytes_to_unicode().values())
    vocabulary = [*characters, *(f"{one}</w>" for one in characters)]
    vocabulary += ["".join(pair.split()) for pair in WORDS]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    numbered = {word: number for number, word in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(numbered))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *WORDS, ""]))


def image_features(model: CLIPModel, pixels: Tensor) -> Tensor:
    """The image embeddings, as transformers computes them."""
    with torch.no_grad():
        return model.get_image_features(pixel_values=pixels).pooler_output


def text_features(model: CLIPModel, tokens: Tensor) -> Tensor:
    """The text embeddings, as transformers computes them."""
    with torch.no_grad():
        return model.get_text_features(input_ids=tokens).pooler_output


def as_hugging_face(network: Any) -> CLIPModel:
    """A CLIPModel with the weights of an open_clip CLIP with QuickGELU, put in place one by one."""
    visual, context, vocabulary = network.visual, network.context_length, network.vocab_size
    config = CLIPConfig(
        text_config={
            **_sizes(network.transformer),
            "vocab_size": vocabulary,
            "max_position_embeddings": context,
            "eos_token_id": vocabulary - 1,
        },
        vision_config={
            **_sizes(visual.transformer),
            "image_size": visual.image_size[0],
            "patch_size": visual.patch_size[0],
        },
        projection_dim=visual.output_dim,
    )
    model = CLIPModel(config).eval()
    texts, image = model.text_model, model.vision_model
    with torch.no_grad():
        image.embeddings.class_embedding.copy_(visual.class_embedding)
        image.embeddings.patch_embedding.weight.copy_(visual.conv1.weight)
        image.embeddings.position_embedding.weight.copy_(visual.positional_embedding)
        texts.embeddings.token_embedding.weight.copy_(network.token_embedding.weight)
        texts.embeddings.position_embedding.weight.copy_(network.positional_embedding)
        model.visual_projection.weight.copy_(visual.proj.T)
        model.text_projection.weight.copy_(network.text_projection.T)
        model.logit_scale.copy_(network.logit_scale)
        for theirs, ours in (
            (image.pre_layrnorm, visual.ln_pre),
            (image.post_layernorm, visual.ln_post),
            (texts.final_layer_norm, network.ln_final),
            *_layers(image.encoder.layers, visual.transformer.resblocks),
            *_layers(texts.encoder.layers, network.transformer.resblocks),
        ):
            theirs.load_state_dict(ours.state_dict())
        for theirs, ours in (
            *zip(image.encoder.layers, visual.transformer.resblocks, strict=True),
            *zip(texts.encoder.layers, network.transformer.resblocks, strict=True),
        ):
            names = ("q_proj", "k_proj", "v_proj")
            weights, biases = ours.attn.in_proj_weight.chunk(3), ours.attn.in_proj_bias.chunk(3)
            for name, weight, bias in zip(names, weights, biases, strict=True):
                getattr(theirs.self_attn, name).weight.copy_(weight)
                getattr(theirs.self_attn, name).bias.copy_(bias)
    return model


def _sizes(transformer: Any) -> dict[str, Any]:
    block = transformer.resblocks[0]
    return {
        "hidden_size": block.ln_1.normalized_shape[0],
        "intermediate_size": block.mlp.c_fc.out_features,
        "num_hidden_layers": len(transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
        "hidden_act": "quick_gelu",
    }


def _layers(theirs: Any, ours: Any) -> list[tuple[Any, Any]]:
    pairs = []
    for layer, block in zip(theirs, ours, strict=True):
        pairs += [(layer.layer_norm1, block.ln_1), (layer.layer_norm2, block.ln_2)]
        pairs += [(layer.mlp.fc1, block.mlp.c_fc), (layer.mlp.fc2, block.mlp.c_proj)]
        pairs += [(layer.self_attn.out_proj, block.attn.out_proj)]
    return pairs
