"""Heat maps: which patches of a picture move the output along a direction (Sec. 3.1)."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.first_order import token_effects
from clipneuron.lens.options import Split
from clipneuron.lens.trace import TowerWeights, Trace


def heatmaps(
    weights: TowerWeights, trace: Trace, direction: Float[Tensor, " embed"], split: Split
) -> Float[Tensor, "image patch"]:
    """What all heads of all layers read from each patch and write along a direction, over the embedding's length.

    Together with what they read from the class token, what the MLPs write, and the stem, it adds up to the projection
    of the embedding, divided by its length (Sec. 3.1).
    """
    # Effects are linear in the projection: projected onto one direction, they cost a fraction.
    like = trace.ln_post.sigma
    projection = weights.projection.to(like) @ direction.to(like)[:, None]
    along = replace(weights, projection=projection)
    layers = [
        token_effects(along, trace, layer, split=split) for layer in range(len(weights.blocks))
    ]
    return torch.stack([effects[:, :, 1:, 0].sum(1) for effects in layers]).sum(0).float()
