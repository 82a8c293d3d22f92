"""What a forward pass keeps for attribution: whole attention matrices, and what relevance is handed down through.

`clipneuron.models.clip.recording` fills these from a network. Queries are all tokens, or in the last block, after which
only the class token is read, the class token alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from clipneuron.lens.trace import Trace


@dataclass(frozen=True)
class Linear:
    """x -> x weight + bias, with what only scales the output (LayerScale) folded in."""

    weight: Float[Tensor, "input output"]
    bias: Float[Tensor, "output"]


@dataclass(frozen=True)
class BlockLinears:
    """The linear layers of one residual block."""

    query: Linear
    key_value: Linear
    output: Linear
    up: Linear
    down: Linear


@dataclass(frozen=True)
class BlockRecord:
    """Everything that one residual block computed.

    entering -> normed_1 -> query, key, value -> attention -> mixed (before W_O) -> attended (after it)
    middle = entering + attended -> normed_2 -> hidden -> activations -> written;  leaving = middle + written
    """

    entering: Float[Tensor, "image token width"]
    normed_1: Float[Tensor, "image token width"]
    query: Float[Tensor, "image head query channel"]
    key: Float[Tensor, "image head token channel"]
    value: Float[Tensor, "image head token channel"]
    attention: Float[Tensor, "image head query token"]
    mixed: Float[Tensor, "image query width"]
    attended: Float[Tensor, "image query width"]
    middle: Float[Tensor, "image query width"]
    normed_2: Float[Tensor, "image query width"]
    hidden: Float[Tensor, "image query neuron"]
    activations: Float[Tensor, "image query neuron"]
    written: Float[Tensor, "image query width"]
    leaving: Float[Tensor, "image query width"]


@dataclass(frozen=True)
class Stem:
    """What enters the first block before ln_pre: the class embedding and the patches', plus positions."""

    embedded: Float[Tensor, "image token width"]
    positions: Float[Tensor, "token width"]


@dataclass(frozen=True)
class Record:
    """One forward pass.

    trace: as `clipneuron.models.clip.capture.capture` gives it, as far as the methods need it.
    attention: layer -> attention matrices, where whole ones are needed.
    blocks, stem: what relevance needs, where it does.
    normed: the class token after ln_post, before P.
    values: what P ln_post makes of the patches if every token of the last block attends to itself alone.
    """

    trace: Trace
    attention: Mapping[int, Float[Tensor, "image head _query token"]]
    blocks: Mapping[int, BlockRecord]
    stem: Stem | None
    normed: Float[Tensor, "image width"]
    values: Float[Tensor, "image patch embed"] | None
