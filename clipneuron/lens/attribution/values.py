"""Attribution by the value path of the last block (MaskCLIP and the dense methods after it)."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize


def value_attention(
    values: Float[Tensor, "image patch embed"], directions: Float[Tensor, "image embed"]
) -> Float[Tensor, "image patch"]:
    """<t, v_i / |v_i|>, with v_i the embedding of patch i if in the last block each token attends to itself alone.

    Zhou, Loy and Dai 2022 (MaskCLIP): queries and keys of the last attention are left out; its residual, the
    MLP, ln_post and P stay as they are.
    """
    return (normalize(values, dim=-1) @ directions[:, :, None])[..., 0]
