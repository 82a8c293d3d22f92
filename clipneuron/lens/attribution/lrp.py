"""Attribution by relevance alone; its rules are in `clipneuron.lens.attribution.relevance`."""

from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.attribution.relevance import Relevance


def lrp(relevance: Relevance) -> Float[Tensor, "image patch"]:
    """The relevance of each patch's pixels, of either sign (Bach et al. 2015).

    A conserving rule for the patch embedding would divide it among the pixels of the same patch; the patch's sum is
    what it has, so that no rule is needed.
    """
    assert relevance.patches is not None
    return relevance.patches


def partial_lrp(relevance: Relevance) -> Float[Tensor, "image patch"]:
    """mean over heads of [relevance]^+ of the class token's attention in the last block (Voita et al. 2019)."""
    last = relevance.attention[max(relevance.attention)]
    return last[:, :, 0, 1:].clamp(min=0).mean(dim=1)
