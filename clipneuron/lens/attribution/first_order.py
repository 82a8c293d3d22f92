"""First-order attribution: what the heads read from each patch and write along the text, straight to the output."""

import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.first_order import token_projections
from clipneuron.lens.trace import TowerWeights, Trace


def textspan(
    weights: TowerWeights, trace: Trace, directions: Float[Tensor, "image embed"]
) -> Float[Tensor, "image patch"]:
    """sum over layers and heads of <first-order effect of token i, t> (Gandelsman et al. 2024, Sec. 5).

    With `heatmaps.heatmaps`, a text for each picture and the equal split. With t less the mean of the classes' texts,
    what speaks for any class falls out: `textspan-centered`.
    """
    layers = [
        token_projections(weights, trace, layer, directions).sum(dim=1)
        for layer in range(weights.layers)
    ]
    return torch.stack(layers).sum(dim=0)[:, 1:]
