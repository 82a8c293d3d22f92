"""What the lens needs to know of a vision tower and of one forward pass through it.

`TowerWeights` is everything input-independent (W_O, W_V, w^{l,n}, the layer norms' gamma and beta, P);
`Trace` is everything image-dependent (p_i^{l,n}, a_i^{l,h} and the layer norms' mu and sigma).
Both are plain data: `clipneuron.models` fills them from a network, the rest of this package does the mathematics.
Layers are 0-based; token 0 is the class token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class LayerNormScale:
    """The statistics that a layer norm used in one forward pass: x -> gamma (x - mean) / sigma + beta.

    `sigma` is sqrt(var + eps). Axes are [image, token] inside the tower and [image] for ln_post,
    of which only the class token is used.
    """

    mean: Float[Tensor, "*tokens"]
    sigma: Float[Tensor, "*tokens"]


@dataclass(frozen=True)
class BlockWeights:
    """The weights of one residual block that second-order paths run through, LayerScale folded in."""

    ln_1_gamma: Float[Tensor, "width"]
    ln_1_beta: Float[Tensor, "width"]
    value: Float[Tensor, "head channel width"]
    value_bias: Float[Tensor, "head channel"]
    output: Float[Tensor, "head channel width"]
    output_bias: Float[Tensor, "width"]
    neuron_writes: Float[Tensor, "neuron width"]
    neuron_bias: Float[Tensor, "width"]


@dataclass(frozen=True)
class TowerWeights:
    """The input-independent part of a ViT whose output is its class token: P ln_post(x_0)."""

    blocks: Sequence[BlockWeights]
    ln_post_gamma: Float[Tensor, "width"]
    ln_post_beta: Float[Tensor, "width"]
    projection: Float[Tensor, "width embed"]

    @property
    def layers(self) -> int:
        """L, the number of residual blocks."""
        return len(self.blocks)

    @property
    def heads(self) -> int:
        """H, attention heads per block."""
        return int(self.blocks[0].value.shape[0])

    @property
    def neurons(self) -> int:
        """N, neurons per MLP."""
        return int(self.blocks[0].neuron_writes.shape[0])

    @property
    def width(self) -> int:
        """d', the residual stream's width."""
        return int(self.projection.shape[0])

    @property
    def embed(self) -> int:
        """d, the joint space's width."""
        return int(self.projection.shape[1])

    def paths(self, layer: int) -> int:
        """A = (L - 1 - layer) H, the number of (later layer, head) paths out of an MLP layer."""
        return (self.layers - 1 - layer) * self.heads

    def check_layer(self, layer: int) -> None:
        """Raise ValueError unless `layer` exists and has a later attention layer to flow through."""
        if not 0 <= layer < self.layers:
            raise ValueError(
                f"layer {layer} does not exist: this tower has layers 0 to {self.layers - 1} (0-based)"
            )
        if layer == self.layers - 1:
            raise ValueError(
                f"layer {layer} is the last layer: no attention layer comes after it, so its neurons "
                f"have no second-order effect; choose a layer from 0 to {self.layers - 2}"
            )

    def to(self, *args: Any) -> "TowerWeights":
        """The same weights on another device or in another dtype, as `Tensor.to` takes them."""
        return TowerWeights(
            blocks=tuple(BlockWeights(*_moved(block, *args)) for block in self.blocks),
            ln_post_gamma=self.ln_post_gamma.to(*args),
            ln_post_beta=self.ln_post_beta.to(*args),
            projection=self.projection.to(*args),
        )


def _moved(block: BlockWeights, *args: Any) -> list[Tensor]:
    return [getattr(block, item.name).to(*args) for item in fields(block)]


@runtime_checkable
class HasWeights(Protocol):
    """Anything that knows its vision tower's weights, such as `clipneuron.models.clip.model.Clip`."""

    @property
    def weights(self) -> TowerWeights:
        """The input-independent part of the vision tower."""
        ...


@dataclass(frozen=True)
class Trace:
    """What one forward pass records, for the requested layers.

    embeddings: M_image(I), not normalised [image, embed].
    activations: layer l -> p_i^{l,n}, after the non-linearity [image, token, neuron].
    attention: layer l' -> a_i^{l',h} of the class token [image, head, token].
    ln_1: layer l' -> the statistics of that block's first layer norm [image, token].
    ln_post: statistics of the final layer norm at the class token [image].

    Empty unless requested, to save `SecondOrderLens.layer_effect` a product:
    mlp_writes: layer l -> what the MLP adds to every token, including its bias [image, token, width].

    Only for first-order effects (empty unless requested):
    normalized: layer -> the output of ln_1, which the heads read [image, token, width].
    mlp_outputs: layer -> what the MLP adds to the class token [image, width].
    stem: the class token as it enters the first block [image, width].
    """

    embeddings: Float[Tensor, "image embed"]
    ln_post: LayerNormScale
    activations: Mapping[int, Float[Tensor, "image token neuron"]] = field(default_factory=dict)
    attention: Mapping[int, Float[Tensor, "image head token"]] = field(default_factory=dict)
    ln_1: Mapping[int, LayerNormScale] = field(default_factory=dict)
    mlp_writes: Mapping[int, Float[Tensor, "image token width"]] = field(default_factory=dict)
    normalized: Mapping[int, Float[Tensor, "image token width"]] = field(default_factory=dict)
    mlp_outputs: Mapping[int, Float[Tensor, "image width"]] = field(default_factory=dict)
    stem: Float[Tensor, "image width"] | None = None

    @property
    def images(self) -> int:
        """The number of images in the trace."""
        return int(self.embeddings.shape[0])
