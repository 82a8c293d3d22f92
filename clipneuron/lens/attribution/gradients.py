"""Attribution by gradients of the score <t, M_image(I) / |M_image(I)|> with respect to attention weights."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.attribution.attention import relevance_rollout


def grad_cam(
    attention: Float[Tensor, "image head query token"],
    gradients: Float[Tensor, "image head query token"],
) -> Float[Tensor, "image patch"]:
    """[mean over heads of a_i^h g^h]^+ in the last block, with g^h the mean over patches of the gradient by a_i^h.

    GradCAM (Selvaraju et al. 2017, Eq. 1 and 2) with the class token's attention maps of the last block as the feature
    maps, as Chefer et al. 2021 compare with it.
    """
    slopes = gradients[:, :, 0, 1:].mean(dim=-1, keepdim=True)
    return (attention[:, :, 0, 1:] * slopes).mean(dim=1).clamp(min=0)


def transformer_attribution(
    gradients: Mapping[int, Float[Tensor, "image head _query token"]],
    relevance: Mapping[int, Float[Tensor, "image head _query token"]],
) -> Float[Tensor, "image patch"]:
    """The rollout of E_l = mean over heads of [gradient * relevance]^+ (Chefer et al. 2021, Sec. 3.3).

    The gradient is that of the cosine and the relevance adds up to 1, so that E_l is small against the identity;
    a score in other units would weigh long chains of attention otherwise.
    """
    maps = {
        layer: (gradients[layer] * relevance[layer]).clamp(min=0).mean(dim=1) for layer in gradients
    }
    return relevance_rollout(maps)


def legrad(
    gradients: Mapping[int, Float[Tensor, "image head query token"]],
) -> Float[Tensor, "image patch"]:
    """mean over layers, heads and queries of [gradient of s_l by A_l]^+ (Bousselham et al. 2025, Sec. 3).

    s_l is the cosine of the text with what ln_post and P make of block l's output, averaged over all tokens; its
    gradient by the attention of the same block is taken. By default of the last two blocks, as in the authors' package.
    """
    layers = [layer.clamp(min=0).mean(dim=(1, 2))[:, 1:] for layer in gradients.values()]
    return torch.stack(layers).mean(dim=0)
