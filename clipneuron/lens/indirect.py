"""Indirect effects: what changes in the output when a neuron is held at its mean (Sec. 3.2, Table 1).

    effect_n(I) = M_image(I) - M_image(I | p_i^{l,n} := mean over D of p_i^{l,n}, for every token i)

Everything after the neuron is recomputed, including attention and layer norms, so there is no shortcut through paths.
Two things are saved. The blocks up to the neuron's run once for all neurons (`Halt`), since after its block only the
residual stream differs, by (mean_i - p_i) w^{l,n} at token i; and many neurons go through the later blocks together.
`clipneuron.models.clip.interventions` makes halts and `Resume`, the later blocks, from a network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Resume = Callable[[Tensor], Tensor]
"""The rest of the tower: residual streams [stream, token, width] after the halt's block -> embeddings."""


@dataclass(frozen=True)
class Halt:
    """A forward pass, stopped after one block.

    embeddings: M_image(I), the result of the unchanged pass.
    residual: the residual stream as it leaves the block.
    activations: p_i^{l,n} of the block's neurons, which the residual stream already contains.
    """

    layer: int
    embeddings: Float[Tensor, "image embed"]
    residual: Float[Tensor, "image token width"]
    activations: Float[Tensor, "image token neuron"]


@dataclass(frozen=True)
class ActivationSums:
    """Sums of one layer's activations over images, per token, in float64; they merge in any order."""

    count: int
    sums: Float[Tensor, "token neuron"]

    @classmethod
    def of(cls, activations: Float[Tensor, "image token neuron"]) -> "ActivationSums":
        """The sums of one batch."""
        return cls(len(activations), activations.sum(0, dtype=torch.float64))

    def __add__(self, other: "ActivationSums") -> "ActivationSums":
        return ActivationSums(self.count + other.count, self.sums + other.sums)

    @property
    def mean(self) -> Float[Tensor, "token neuron"]:
        """The per-token means; ValueError when no image was counted."""
        if self.count == 0:
            raise ValueError("the mean activation needs at least one image, and none was counted")
        return self.sums / self.count


def indirect_effects(
    halt: Halt,
    writes: Float[Tensor, "neuron width"],
    means: Float[Tensor, "token neuron"],
    resume: Resume,
    neurons: Sequence[int] | None = None,
    *,
    normalize: bool = True,
    streams: int = 64,
) -> Float[Tensor, "image chosen embed"]:
    """The indirect effects of all or chosen neurons, each held at its mean on its own.

    `writes` are w^{l,n}, `neuron_writes` of the halt's block. The cost is one `resume` per image and neuron, `streams`
    of them at a time. `normalize` divides by |M_image(I)|, as for second-order effects. Raises ValueError for
    shapes or neurons that are not the halted layer's.
    """
    _check(halt, writes, means)
    chosen = _chosen(neurons, writes)
    if streams < 1:
        raise ValueError(f"streams is {streams}; expected at least one at a time")
    images, embed = halt.embeddings.shape
    pairs = torch.cartesian_prod(torch.arange(images, device=chosen.device), chosen)
    parts = [
        resume(_held(halt, writes, means, *part.unbind(1)))
        for part in torch.split(pairs, streams)
        if len(part)
    ]
    ablated = torch.cat([halt.embeddings[:0], *parts]).view(images, len(chosen), embed)
    return _scaled(halt, halt.embeddings[:, None] - ablated, normalize)


def layer_indirect_effect(
    halt: Halt,
    writes: Float[Tensor, "neuron width"],
    means: Float[Tensor, "token neuron"],
    resume: Resume,
    *,
    normalize: bool = True,
) -> Float[Tensor, "image embed"]:
    """The effect of holding all neurons of the layer at their means at once, for Table 1.

    Table 1 evaluates the representation minus this effect.

    One `resume` per image. Raises ValueError as `indirect_effects` does.
    """
    _check(halt, writes, means)
    edited = halt.residual + (means.to(halt.activations) - halt.activations) @ writes
    return _scaled(halt, (halt.embeddings - resume(edited))[:, None], normalize)[:, 0]


def _held(
    halt: Halt, writes: Tensor, means: Tensor, images: Tensor, neurons: Tensor
) -> Float[Tensor, "stream token width"]:
    """Each pair's residual stream with its neuron at the mean."""
    shift = means.to(halt.activations)[:, neurons].T - halt.activations[images, :, neurons]
    return torch.baddbmm(halt.residual[images], shift[..., None], writes[neurons][:, None])


def _scaled(halt: Halt, effects: Tensor, normalize: bool) -> Float[Tensor, "image chosen embed"]:
    return effects / halt.embeddings.norm(dim=-1)[:, None, None] if normalize else effects


def _chosen(neurons: Sequence[int] | None, writes: Tensor) -> Tensor:
    wanted = range(len(writes)) if neurons is None else neurons
    wrong = [neuron for neuron in wanted if not 0 <= neuron < len(writes)]
    if wrong:
        raise ValueError(
            f"neurons {wrong[:5]} do not exist: this layer has neurons 0 to {len(writes) - 1}"
        )
    return torch.tensor(list(wanted), dtype=torch.long, device=writes.device)


def _check(halt: Halt, writes: Tensor, means: Tensor) -> None:
    _, tokens, neurons = halt.activations.shape
    expected = {"writes": (writes, (neurons, halt.residual.shape[2]))}
    expected["means"] = means, (tokens, neurons)
    for name, (values, shape) in expected.items():
        if tuple(values.shape) != shape:
            raise ValueError(
                f"{name} has shape {list(values.shape)}, expected {list(shape)} for layer {halt.layer}: "
                "take it from the same model and layer, with pictures of the same size"
            )
