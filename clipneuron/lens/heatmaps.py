"""Heat maps: where in a picture the output finds what speaks for a direction (Sec. 3.1)."""

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
    """What all heads of all layers read in each patch and write along a direction, per length of the embedding.

    Together with what they read in the class token, what MLPs write, and the stem, it adds up to the embedding's own
    projection, divided by its length (Sec. 3.1).
    """
    # Effects are linear in the projection: landed on one direction, they cost a fraction.
    projection = weights.projection @ direction.to(weights.projection)[:, None]
    along = replace(weights, projection=projection)
    layers = [
        token_effects(along, trace, layer, split=split) for layer in range(len(weights.blocks))
    ]
    return torch.stack([effects[:, :, 1:, 0].sum(1) for effects in layers]).sum(0).float()
