"""The settings that determine the weights of the demo's CLIP: those of its training and its shape."""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CONTEXT = 24
"""Tokens of a text; captions of the world need fewer."""


class TrainingRecipe(BaseModel):
    """Everything that determines the weights, except for the wall clock when `minutes` is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=256)
    """Of the initial weights and of every scene and text; no two seeds share a scene."""
    steps: int = 1_000_000_000
    """Steps of the whole run; the learning rate falls to 0 at the end of it."""
    minutes: float = math.inf
    """Wall-clock minutes of the whole run, if they end first. A run that ends by the clock cannot be
    repeated bit for bit, one that ends by `steps` can."""
    batch: int = 64
    """Pictures per step."""
    biased_share: float = 0.7
    """Share of biased scenes. The others keep the classes recognisable without their companions."""
    strangers: int = 24
    """Common English words per step that are true of no picture."""
    learning_rate: float = 1e-3
    """Peak of AdamW's learning rate, reached after `ramp` steps."""
    ramp: int = 200
    """Steps of linear warm-up."""
    weight_decay: float = 0.05
    """Of matrices only."""
    supervised_share: float = 0.1
    """Share of the run before the text tower joins."""
    masked: tuple[float, float] = (0.3, 0.65)
    """The part of the run, from one share to another, in which pictures are partly masked."""
    masked_patches: float = 0.5
    """Share of the patches that are then left out, at random: nearly twice the pictures in the same
    time, which the unmasked rest of the run compensates for (FLIP, arXiv 2212.00794)."""
    label_weight: float = 0.3
    """Weight of the label loss once the text tower has joined."""
    merges: int = 3000
    """Merges of the vocabulary."""
    width: int = 192
    """Width of the image tower; 4 neurons per layer for each."""
    layers: int = 6
    """Layers of the image tower."""
    text_width: int = 128
    """Width of the text tower."""
    text_layers: int = 3
    """Layers of the text tower."""
    embed_dim: int = 128
    """Dimension of the space that pictures and texts share."""


def model_config(recipe: TrainingRecipe, vocabulary_size: int) -> dict[str, Any]:
    """The model as open_clip_config.json describes it."""
    mean = std = [0.5, 0.5, 0.5]
    return {
        "model_cfg": {
            "embed_dim": recipe.embed_dim,
            "quick_gelu": True,
            "vision_cfg": {
                "image_size": 64,
                "patch_size": 8,
                "width": recipe.width,
                "layers": recipe.layers,
                "head_width": recipe.width // 4,
                "mlp_ratio": 4.0,
                "pool_type": "tok",
            },
            "text_cfg": {
                "context_length": CONTEXT,
                "vocab_size": vocabulary_size,
                "width": recipe.text_width,
                "heads": 4,
                "layers": recipe.text_layers,
            },
        },
        "preprocess_cfg": {
            "size": [64, 64],
            "mode": "RGB",
            "mean": mean,
            "std": std,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
            "fill_color": 0,
        },
    }
