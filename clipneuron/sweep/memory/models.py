"""The shape of a model and a recipe, as memory depends on it."""

from math import prod

from clipneuron.config.recipe import Recipe
from clipneuron.models.clip.model import Clip
from clipneuron.sweep.memory.needs import Shape


def shape_of(clip: Clip, recipe: Recipe) -> Shape:
    """Of a loaded model and a recipe."""
    weights, number = clip.weights, clip.weights.projection.element_size()
    parameters = list(getattr(clip.network, "parameters", clip.visual.parameters)())
    own = sum(item.numel() * item.element_size() for item in parameters)
    return Shape(
        layers=weights.layers,
        heads=weights.heads,
        neurons=weights.neurons,
        width=weights.width,
        embed=weights.embed,
        tokens=int(clip.visual.positional_embedding.shape[-2]),
        weights=own + (_in_float32(clip) if number < 4 else 0),
        batch=recipe.batch_size,
        top=recipe.top,
        shard=recipe.shard_size,
        number=number,
        norm=2 if recipe.norms == "float16" else 4,
        remainders=recipe.split == "equal",
        pixels=3 * prod(clip.image_size),
    )


def _in_float32(clip: Clip) -> int:
    """Bytes of what lenses copy of a model in half precision: value, output and writing weights of every block."""
    weights = clip.weights
    return weights.layers * weights.width * (2 * weights.width + weights.neurons) * 4
